import type { Operations, Page } from "./schema.d.ts";

export type * from "./schema.d.ts";

/** The name of an operation: that of the OpenAPI document. */
export type OperationId = keyof Operations;
/** What an operation takes. */
export type Asked<K extends OperationId> = Operations[K]["asks"] & More;
/** What it resolves with. */
export type Answered<K extends OperationId> = Operations[K]["answers"];
/** Operations that answer pages of a list. */
export type ListId = { [K in OperationId]: Operations[K]["answers"] extends Page<any> ? K : never }[OperationId];
/** What a list has. */
export type Entry<K extends ListId> = Operations[K]["answers"] extends Page<infer T> ? T : never;

export interface More {
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** One fault in the input: where, and what to do about it. */
export interface FieldError { path: string; message: string }

/** The house said no (RFC 9457). Decide by `code`; `title` and `detail` are for people. */
export class Problem extends Error {
  constructor(status: number, body: Record<string, unknown>, response: Response);
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly traceId: string;
  readonly requestId: string;
  readonly errors: FieldError[];
  readonly retryAfterS: number | null;
  /** What else this problem carries, such as `alternatives`. */
  readonly more: Record<string, unknown>;
}

/** No answer came, or none of a house. What may be repeated was repeated. */
export class ConnectionLost extends Error {
  constructor(message: string, cause?: unknown);
}

export interface ApiOptions {
  /** The house: https://book.example.org */
  url: string;
  /** An access token, or a function that gives one; `renew` is true after the last one was refused. */
  token?: string | null | ((renew: boolean) => string | null | Promise<string | null>);
  /** Instead of a token, for a program of an organisation. */
  apiKey?: string | null;
  fetch?: typeof globalThis.fetch;
  random?: () => number;
}

/** An operation that needs nothing may be called with nothing. */
type Words<K extends OperationId> = {} extends Operations[K]["asks"] ? [asked?: Asked<K>] : [asked: Asked<K>];

export class Api {
  constructor(options: ApiOptions);
  /** Does one operation. Rejects with Problem or ConnectionLost. Answers that are not JSON come as a Response. */
  call<K extends OperationId>(operation: K, ...words: Words<K>): Promise<Answered<K>>;
  /** Every entry of a list, or the first `limit`; pages are fetched as entries are taken. */
  every<K extends ListId>(operation: K, asked?: Asked<K>, bounds?: { limit?: number; pageSize?: number }): AsyncGenerator<Entry<K>, void, void>;
}
