/* @ts-self-types="./api.d.ts" */
// The HTTP API of Forecourt for pages and programs: a thin layer over fetch that knows every operation by name.
// It makes Idempotency-Keys and keeps them over its tries, repeats what may be repeated, and turns problems into errors.
// No dependencies. Runs wherever there is fetch: browsers, Node 20 and newer. Types: api.d.ts, and schema.d.ts made from the document.

import { OPERATIONS } from "./operations.js";

const TRIES = 4, LEAST_MS = 250, MOST_MS = 8_000, PATIENCE_MS = 60_000, TIMEOUT_MS = 30_000;
const REPEATABLE = new Set(["GET", "PUT", "DELETE"]);
const OUR_FAULT = new Set([500, 502, 503, 504]);

/** The house said no (RFC 9457). Decide by `code`. */
export class Problem extends Error {
  constructor(status, body, response) {
    super(body.detail || body.title || `answered with ${status}`);
    const { code = "", title = "", detail = "", trace_id: traceId = "", errors = [], type: _type, status: _status, ...more } = body;
    Object.assign(this, { name: "Problem", status, code, title, detail, traceId, errors, more });
    this.requestId = response.headers.get("x-request-id") ?? "";
    this.retryAfterS = seconds(response);
  }
}

/** No answer came, or none of a house. `cause` says why. */
export class ConnectionLost extends Error {
  constructor(message, cause) {
    super(message, { cause });
    this.name = "ConnectionLost";
  }
}

export class Api {
  #url; #token; #key; #fetch; #random; #renewing = null; #fresh = null;

  /**
   * url: the house. token: an access token, or a function that gives one (it may be async); it is called with true after the last
   * one was refused, once for all calls that wait. apiKey: instead of a token, for a program of an organisation.
   */
  constructor({ url, token = null, apiKey = null, fetch = globalThis.fetch, random = Math.random }) {
    this.#url = url.replace(/\/+$/, "");
    this.#token = token;
    this.#key = apiKey;
    this.#fetch = (...words) => fetch(...words);
    this.#random = random;
  }

  /** Does one operation. Resolves with its answer; rejects with Problem or ConnectionLost. */
  async call(operation, asked = {}) {
    const declared = OPERATIONS[operation];
    if (!declared) throw new TypeError(`There is no operation ${operation}`);
    const [method, path, keyed = false, bytes = ""] = declared;
    const url = this.#url + path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(asked.path[name])) + query(asked.query);
    const headers = { Accept: "application/json, application/problem+json, */*;q=0.1", ...asked.headers };
    if (keyed) headers["Idempotency-Key"] = asked.idempotencyKey ?? globalThis.crypto.randomUUID();
    if (asked.ifMatch !== undefined) headers["If-Match"] = `"${asked.ifMatch}"`;
    if (bytes) headers["Content-Type"] = bytes;
    else if (asked.body !== undefined) headers["Content-Type"] = "application/json";
    const once = typeof asked.content?.getReader === "function"; // a stream is spent by the first try
    const body = asked.form ? form(asked.form) : bytes ? asked.content : asked.body === undefined ? undefined : JSON.stringify(asked.body);
    const repeatable = (keyed || REPEATABLE.has(method)) && !once;
    const signed = this.#token !== null || this.#key !== null;
    let token = signed ? await this.#signature() : {};
    let renewed = false;
    const until = Date.now() + PATIENCE_MS;
    for (let tried = 1; ; tried++) {
      let response;
      try {
        const signal = any([asked.signal, AbortSignal.timeout(TIMEOUT_MS)]);
        response = await this.#fetch(url, { method, headers: { ...headers, ...token }, body, signal, duplex: once ? "half" : undefined });
      } catch (cause) {
        asked.signal?.throwIfAborted();
        const pause = repeatable ? this.#pause(tried, until) : null;
        if (pause === null) throw new ConnectionLost(`${method} ${path}: no answer`, cause);
        await sleep(pause, asked.signal);
        continue;
      }
      if (response.status === 401 && typeof this.#token === "function" && !renewed && !once) {
        renewed = true;
        token = await this.#signature(token.Authorization);
        continue;
      }
      if (response.ok || response.status === 304) return answer(response, `${method} ${path}`);
      const problem = new Problem(response.status, await said(response), response);
      const refused = problem.status === 429 || (keyed && problem.code === "idempotency_in_flight");
      const again = !once && (refused || (OUR_FAULT.has(problem.status) && repeatable));
      const pause = again ? this.#pause(tried, until, problem.retryAfterS) : null;
      if (pause === null) throw problem;
      await sleep(pause, asked.signal);
    }
  }

  /** Every entry of a list, or the first `limit`; pages are fetched as entries are taken. */
  async *every(operation, asked = {}, { limit = Infinity, pageSize = 100 } = {}) {
    let given = 0, cursor;
    while (given < limit) {
      const size = Math.min(pageSize, limit - given);
      const page = await this.call(operation, { ...asked, query: { ...asked.query, cursor, limit: size } });
      yield* page.items;
      given += page.items.length;
      if (page.next_cursor === null) return;
      if (page.next_cursor === cursor) throw new ConnectionLost("a page names itself as the next one");
      cursor = page.next_cursor;
    }
  }

  /** The header that says who asks. `refused` is one that the house did not take: of all who come with it, the first has it renewed. */
  async #signature(refused = null) {
    if (this.#key !== null) return { "X-API-Key": this.#key };
    if (typeof this.#token !== "function") return { Authorization: `Bearer ${this.#token}` };
    if (refused !== null && (this.#fresh === null || this.#fresh === refused)) this.#renewing ??= this.#renew();
    if (this.#renewing) await this.#renewing;
    else if (refused === null) return bearer(await this.#token(false));
    return this.#fresh ? { Authorization: this.#fresh } : {};
  }

  async #renew() {
    try {
      this.#fresh = bearer(await this.#token(true)).Authorization ?? null;
    } finally {
      this.#renewing = null;
    }
  }

  /** Milliseconds until the next try; null when there is none. */
  #pause(tried, until, askedS = null) {
    if (tried >= TRIES) return null;
    const jitter = Math.min(MOST_MS, LEAST_MS * 2 ** (tried - 1)) * (0.5 + this.#random() / 2);
    const pause = askedS === null ? jitter : askedS * 1000 + jitter / 2;
    return Date.now() + pause > until ? null : pause;
  }
}

function bearer(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function query(values = {}) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) continue;
    found.set(name, Array.isArray(value) ? value.join(",") : String(value));
  }
  const text = found.toString();
  return text && `?${text}`;
}

function form(values) {
  const found = new FormData();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) found.set(name, value);
  return found;
}

async function answer(response, what) {
  const kind = response.headers.get("content-type") ?? "";
  if (response.status === 204 || (!kind && response.status !== 304)) return undefined;
  if (!kind.startsWith("application/json")) return response;
  try {
    return await response.json();
  } catch (cause) {
    throw new ConnectionLost(`${what}: the answer could not be read`, cause);
  }
}

async function said(response) {
  if (!(response.headers.get("content-type") ?? "").startsWith("application/problem+json")) return {};
  return response.json().catch(() => ({}));
}

function seconds(response) {
  const text = response.headers.get("retry-after") ?? "";
  return /^\d+$/.test(text) ? Number(text) : null;
}

function any(signals) {
  const found = signals.filter(Boolean);
  if (found.length === 1) return found[0];
  if (AbortSignal.any) return AbortSignal.any(found);
  const both = new AbortController();
  for (const signal of found) signal.addEventListener("abort", () => both.abort(signal.reason), { once: true });
  return both.signal;
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}
