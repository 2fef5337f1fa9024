// NestJS and Prisma, doing Forecourt's work on Forecourt's own tables: the token verified, an interactive transaction that
// carries role, organisation and person so that row security applies, and what Prisma's client does for each statement. SQL
// appears where Prisma has no words: the settings, the lock, the claim with its range, and the ledger's function.
import 'reflect-metadata';
import { createPublicKey, KeyObject, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  Body, CanActivate, ConflictException, Controller, createParamDecorator, ExecutionContext, Get, HttpException, Injectable, Module,
  NotFoundException, OnModuleInit, Param, ParseUUIDPipe, Post, Query, UnauthorizedException, UnprocessableEntityException, UseGuards,
  ValidationPipe,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { JwtModule, JwtService } from '@nestjs/jwt';
import { PrismaPg } from '@prisma/adapter-pg';
import { Type } from 'class-transformer';
import { IsDateString, IsDivisibleBy, IsIn, IsInt, IsISO8601, IsUUID, Max, Min } from 'class-validator';
import { PrismaClient } from './generated/client.ts';

interface Club {
  organisation_id: string; venue_id: string; timezone: string; currency: string; opens_min: number; closes_min: number;
  slot_min: number; hour_minor: number; label: string; max_open: number; courts: string[];
}
const world: { clubs: Club[]; keys: ({ kid: string } & JsonWebKey)[]; issuer: string } = JSON.parse(
  readFileSync(process.env.BENCH_WORLD!, 'utf8'),
);
const keys = new Map<string, KeyObject>(world.keys.map((k) => [k.kid, createPublicKey({ key: k as any, format: 'jwk' })]));
const venues = new Map(world.clubs.map((c) => [c.venue_id, c]));
const courts = new Map(world.clubs.flatMap((c) => c.courts.map((id) => [id, c] as const)));
const DAY_MS = 864e5;
const MAX_CLAIM_MS = 31 * DAY_MS;
const OPEN = ['pending_approval', 'payment_pending', 'upcoming', 'in_progress'];

class NewBooking {
  @IsUUID('loose') resource_id: string;
  @IsISO8601() start: string;
  @IsInt() @Min(60) @Max(180) @IsDivisibleBy(15) duration_min: number;
  @IsIn(['credits']) pay_with: string;
}

class AvailabilityQuery {
  @IsDateString() from: string;
  @IsDateString() to: string;
  @IsUUID('loose') resource_id: string;
  @Type(() => Number) @IsInt() @Min(5) @Max(1440) duration_min: number;
}

function uuidv7(): string {
  const b = randomBytes(16);
  b.writeUIntBE(Date.now(), 0, 6);
  b[6] = (b[6] & 15) | 112;
  b[8] = (b[8] & 63) | 128;
  const h = b.toString('hex');
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
}

const money = (amount: number | bigint, currency: string) => ({ amount: Number(amount), currency });

function present(b: any) {
  return {
    id: b.id, organisation_id: b.organisationId, venue_id: b.venueId, resource_id: b.resourceId, account_id: b.accountId,
    status: b.status, start: b.startsAt, end: b.endsAt,
    local_start: b.startsAt, // the benchmark's venues keep UTC all year
    purpose: b.purpose, team_size: b.teamSize, price: money(b.priceMinor, b.currency),
    paid: money(b.paidMinor - b.refundedMinor, b.currency), version: b.version,
    ...(b.holdExpiresAt && { hold_expires_at: b.holdExpiresAt }), ...(b.note && { note: b.note }),
    ...(b.guestName && { guest_name: b.guestName }),
  };
}

@Injectable()
class PrismaService extends PrismaClient implements OnModuleInit {
  constructor() {
    super({ adapter: new PrismaPg({ max: Number(process.env.POOL || 16) }) });
  }

  async onModuleInit() {
    await this.$connect();
  }

  /** Runs `work` under a module's role, about one organisation and one person. */
  within<T>(role: string, organisation: string, person: string, work: (tx: any) => Promise<T>): Promise<T> {
    return this.$transaction(async (tx) => {
      await tx.$executeRaw`select set_config('role', ${role}, true), set_config('forecourt.org', ${organisation}, true), set_config('forecourt.account', ${person}, true)`;
      return work(tx);
    });
  }
}

@Injectable()
class AuthGuard implements CanActivate {
  constructor(private readonly jwt: JwtService) {}

  async canActivate(context: ExecutionContext) {
    const request = context.switchToHttp().getRequest();
    const header = request.headers.authorization;
    if (!header || !header.startsWith('Bearer ')) throw new UnauthorizedException();
    const token = header.slice(7);
    try {
      const { kid } = JSON.parse(Buffer.from(token.split('.', 1)[0], 'base64url').toString());
      request.user = await this.jwt.verifyAsync(token, {
        publicKey: keys.get(kid) as any, algorithms: ['ES256'], issuer: world.issuer, audience: 'forecourt',
      });
    } catch {
      throw new UnauthorizedException();
    }
    return true;
  }
}

const Person = createParamDecorator((_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest().user.sub);

@Injectable()
class BookingService {
  constructor(private readonly prisma: PrismaService) {}

  async get(person: string, id: string) {
    const found = await this.prisma.within('fc_booking', '', person, (tx) =>
      tx.booking.findFirst({ where: { id }, omit: { lines: true, tax: true, invitees: true } }),
    );
    if (!found) throw new NotFoundException();
    return present(found);
  }

  async availability(person: string, club: Club, q: AvailabilityQuery) {
    const first = Date.parse(`${q.from}T00:00:00Z`);
    const last = Date.parse(`${q.to}T00:00:00Z`);
    const now = Date.now();
    const until = new Date(last + DAY_MS + q.duration_min * 6e4);
    const claims: { startsAt: Date; endsAt: Date }[] = await this.prisma.within('fc_booking', club.organisation_id, person, (tx) =>
      tx.occupancy.findMany({
        where: {
          organisationId: club.organisation_id, resourceId: { in: [q.resource_id] },
          endsAt: { gt: new Date(first), lte: new Date(until.getTime() + MAX_CLAIM_MS) }, startsAt: { lt: until },
          OR: [{ expiresAt: null }, { expiresAt: { gt: new Date(now) } }],
        },
        select: { resourceId: true, startsAt: true, endsAt: true }, orderBy: [{ resourceId: 'asc' }, { startsAt: 'asc' }], take: 50000,
      }),
    );
    const days: unknown[] = [];
    for (let day = first; day <= last; day += DAY_MS) {
      const slots: unknown[] = [];
      let i = 0;
      for (let t = day + club.opens_min * 6e4; t + q.duration_min * 6e4 <= day + club.closes_min * 6e4; t += club.slot_min * 6e4) {
        const end = t + q.duration_min * 6e4;
        while (i < claims.length && claims[i].endsAt.getTime() <= t) i++;
        if (i < claims.length && claims[i].startsAt.getTime() < end) continue;
        if (t < now) continue;
        const start = new Date(t);
        const price = Math.round((club.hour_minor * q.duration_min) / 60);
        slots.push({ start, end: new Date(end), local_start: start, price: money(price, club.currency) });
      }
      days.push({ date: new Date(day).toISOString().slice(0, 10), resources: [{ resource_id: q.resource_id, slots }] });
    }
    return { venue_id: club.venue_id, timezone: club.timezone, days };
  }

  async book(person: string, club: Club, wish: NewBooking) {
    const org = club.organisation_id;
    const start = new Date(wish.start);
    const end = new Date(start.getTime() + wish.duration_min * 6e4);
    const now = new Date();
    const holdUntil = new Date(now.getTime() + 10 * 6e4);
    const price = Math.round((club.hour_minor * wish.duration_min) / 60);
    const id = uuidv7();
    const facts = {
      organisation_id: org, venue_id: club.venue_id, resource_id: wish.resource_id, booking_id: id, account_id: person,
      start, end, purpose: 'workout', team_size: 1, price: money(price, club.currency),
    };
    const emit = (tx: any, name: string, payload: object) =>
      // createMany: a module may write events and read none, so nothing can be returned.
      tx.event.createMany({
        data: {
          id: uuidv7(), organisationId: org, name, version: 1, payload: Buffer.from(JSON.stringify(payload)), actorKind: 'person',
          accountId: person, address: '127.0.0.1',
        },
      });

    await this.prisma.within('fc_booking', org, person, async (tx) => {
      await tx.$executeRaw`select pg_advisory_xact_lock(hashtextextended(${org + person}, 0))`;
      await tx.occupancy.deleteMany({
        where: {
          organisationId: org, resourceId: wish.resource_id, endsAt: { gt: start, lte: new Date(end.getTime() + MAX_CLAIM_MS) },
          startsAt: { lt: end }, expiresAt: { lte: now },
        },
      });
      const open = await tx.booking.count({
        where: { accountId: person, organisationId: org, startsAt: { gt: new Date(now.getTime() - DAY_MS) }, endsAt: { gt: now }, status: { in: OPEN } },
      });
      if (open >= club.max_open) throw new ConflictException('too_many_open_bookings');
      await tx.booking.create({
        data: {
          organisationId: org, id, venueId: club.venue_id, resourceId: wish.resource_id, accountId: person, status: 'payment_pending',
          startsAt: start, endsAt: end, timezone: club.timezone, purpose: 'workout', teamSize: 1, currency: club.currency,
          listMinor: price, priceMinor: price, lines: [{ label: club.label, amount: money(price, club.currency), rule: club.label }],
          tax: [], payWith: 'credits', holdExpiresAt: holdUntil, claimed: [wish.resource_id], claimStartsAt: start, claimEndsAt: end,
          madeBy: person, createdAt: now, updatedAt: now,
        },
        select: { id: true },
      });
      const won = await tx.$executeRaw`
        insert into booking.occupancy (organisation_id, resource_id, during, booking_id, expires_at)
        values (${org}::uuid, ${wish.resource_id}::uuid, tstzrange(${start}, ${end}, '[)'), ${id}::uuid, ${holdUntil})
        on conflict do nothing`;
      if (won < 1) throw new ConflictException('slot_taken');
      await tx.transition.create({
        data: {
          organisationId: org, bookingId: id, version: 1, at: now, action: 'hold', fromStatus: 'draft', toStatus: 'payment_pending',
          actor: 'customer', accountId: person,
        },
        select: { version: true },
      });
      await tx.due.create({ data: { organisationId: org, bookingId: id, at: holdUntil }, select: { bookingId: true } });
      await emit(tx, 'booking.held', { ...facts, hold_expires_at: holdUntil });
    });

    await this.prisma.within('fc_payments', org, person, async (tx) => {
      await tx.payment.create({
        data: { organisationId: org, id, accountId: person, currency: club.currency, createdAt: now }, select: { id: true },
      });
      await tx.charge.create({
        data: {
          organisationId: org, id, paymentId: id, accountId: person, payWith: 'credits', currency: club.currency, price,
          settledAt: now, createdAt: now,
        },
        select: { id: true },
      });
      const [spent] = await tx.$queryRaw`
        select payments.spend(${org}::uuid, ${person}::uuid, ${club.currency}, ${price}, ${id}::uuid, ${id}::uuid, ${id}::uuid, '', ${now}) as enough`;
      if (!spent.enough) throw new HttpException('insufficient_credits', 402);
      const amount = money(price, club.currency);
      await emit(tx, 'payment.captured', {
        organisation_id: org, payment_id: id, charge_id: id, account_id: person, pay_with: 'credits', amount, discount: money(0, club.currency),
      });
    });

    await this.prisma.within('fc_booking', org, person, async (tx) => {
      const changed = await tx.booking.updateMany({
        where: { organisationId: org, id, version: 1 },
        data: {
          status: 'upcoming', version: { increment: 1 }, updatedAt: now, holdExpiresAt: null, paidMinor: price, payWith: 'credits',
          dueMinor: 0, priceMinor: price,
        },
      });
      const kept = await tx.occupancy.updateMany({
        where: { organisationId: org, resourceId: { in: [wish.resource_id] }, endsAt: end, startsAt: start, bookingId: id },
        data: { expiresAt: null },
      });
      if (changed.count < 1 || kept.count < 1) throw new ConflictException('hold_expired');
      await tx.transition.create({
        data: {
          organisationId: org, bookingId: id, version: 2, at: now, action: 'confirm', fromStatus: 'payment_pending', toStatus: 'upcoming',
          actor: 'house', accountId: person,
        },
        select: { version: true },
      });
      await tx.due.updateMany({ where: { organisationId: org, bookingId: id }, data: { at: start } });
      await emit(tx, 'booking.confirmed', { ...facts, paid: money(price, club.currency) });
    });

    const { booking_id: _, ...rest } = facts;
    return { id, ...rest, local_start: start, status: 'upcoming', paid: money(price, club.currency), version: 2 };
  }
}

@Controller('v1')
@UseGuards(AuthGuard)
class BookingController {
  constructor(private readonly bookings: BookingService) {}

  @Get('bookings/:id')
  get(@Param('id', new ParseUUIDPipe()) id: string, @Person() person: string) {
    return this.bookings.get(person, id);
  }

  @Get('venues/:id/availability')
  availability(@Param('id', new ParseUUIDPipe()) id: string, @Query() query: AvailabilityQuery, @Person() person: string) {
    const club = venues.get(id);
    if (!club || !courts.has(query.resource_id)) throw new NotFoundException();
    return this.bookings.availability(person, club, query);
  }

  @Post('bookings')
  book(@Body() wish: NewBooking, @Person() person: string) {
    const club = courts.get(wish.resource_id);
    if (!club) throw new NotFoundException();
    const start = new Date(wish.start);
    const minute = start.getUTCHours() * 60 + start.getUTCMinutes();
    if (minute < club.opens_min || minute + wish.duration_min > club.closes_min || minute % club.slot_min)
      throw new UnprocessableEntityException('closed');
    return this.bookings.book(person, club, wish);
  }
}

@Controller()
class HealthController {
  @Get('readyz') ready() {
    return { status: 'ready' };
  }
}

@Module({
  imports: [JwtModule.register({})], controllers: [HealthController, BookingController], providers: [PrismaService, BookingService, AuthGuard],
})
class AppModule {}

(async () => {
  const app = await NestFactory.create(AppModule, { logger: ['error'] });
  app.useGlobalPipes(new ValidationPipe({ transform: true, whitelist: true }));
  await app.listen(Number(process.env.PORT), '127.0.0.1');
  process.on('SIGTERM', () => process.exit(0));
})();
