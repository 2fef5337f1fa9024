import { defineConfig } from 'prisma/config';

// Only `prisma generate` runs here; the running peer takes its address from PGHOST and its like.
export default defineConfig({ schema: 'prisma/schema.prisma', datasource: { url: 'postgresql://localhost/forecourt' } });
