// Express and node-postgres, doing Forecourt's work on Forecourt's own tables: the token verified, a transaction that carries
// role, organisation and person so that row security applies, the statements of the product, its answer.
//
// TUNED=1 adds what Forecourt does besides: role, settings, the person's lock and the choice of general plans travel with
// `begin` in one message, events in the statement they tell of, a charge is opened and taken in one, and a token that was
// verified is remembered until it expires. Without it the program is what one writes in Express.
'use strict';
const fs = require('node:fs');
const crypto = require('node:crypto');
const express = require('express');
const { Pool, types } = require('pg');
const jwt = require('jsonwebtoken');

const world = JSON.parse(fs.readFileSync(process.env.BENCH_WORLD, 'utf8'));
const sql = world.statements;
const tuned = process.env.TUNED === '1';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const KEPT = '; set local plan_cache_mode = force_generic_plan';
const DAY_MS = 864e5;
const MAX_CLAIM_MS = 31 * DAY_MS;

types.setTypeParser(20, Number); // bigint: our amounts stay below 2^53
const pool = new Pool({ max: Number(process.env.POOL || 16) }); // the address comes from PGHOST and its like

const keys = new Map(world.keys.map((k) => [k.kid, crypto.createPublicKey({ key: k, format: 'jwk' })]));
const expected = { algorithms: ['ES256'], issuer: world.issuer, audience: 'forecourt' };
const known = new Map();

function verify(token) {
  if (tuned) {
    const remembered = known.get(token);
    if (remembered !== undefined && remembered.exp * 1000 > Date.now()) return remembered;
  }
  const header = JSON.parse(Buffer.from(token.split('.', 1)[0], 'base64url').toString());
  const claims = jwt.verify(token, keys.get(header.kid), expected);
  if (tuned) {
    if (known.size >= 20000) known.delete(known.keys().next().value);
    known.set(token, claims);
  }
  return claims;
}

/** Runs `work` in a transaction under a module's role, about one organisation and one person. */
async function transaction(role, organisation, person, work, opening = '') {
  const c = await pool.connect();
  try {
    if (tuned) {
      if ((organisation && !UUID.test(organisation)) || !UUID.test(person)) throw new Error('not an id');
      await c.query(
        `begin; set local role ${role}; set local forecourt.org = '${organisation}'; set local forecourt.account = '${person}'${opening}`,
      );
    } else {
      await c.query('begin');
      await c.query({
        name: 'context',
        text: "select set_config('role', $1, true), set_config('forecourt.org', $2, true), set_config('forecourt.account', $3, true)",
        values: [role, organisation, person],
      });
    }
    const result = await work((name, values) => c.query({ name, text: sql[name], values }));
    await c.query('commit');
    return result;
  } catch (e) {
    await c.query('rollback');
    throw e;
  } finally {
    c.release();
  }
}

class Refused extends Error {
  constructor(status, code) {
    super(code);
    this.status = status;
  }
}

function uuidv7() {
  const b = crypto.randomBytes(16);
  b.writeUIntBE(Date.now(), 0, 6);
  b[6] = (b[6] & 15) | 112;
  b[8] = (b[8] & 63) | 128;
  const h = b.toString('hex');
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
}

const money = (amount, currency) => ({ amount, currency });

function present(b) {
  const out = {
    id: b.id,
    organisation_id: b.organisation_id,
    venue_id: b.venue_id,
    resource_id: b.resource_id,
    account_id: b.account_id,
    status: b.status,
    start: b.starts_at,
    end: b.ends_at,
    local_start: b.starts_at, // the benchmark's venues keep UTC all year
    purpose: b.purpose,
    team_size: b.team_size,
    price: money(b.price_minor, b.currency),
    paid: money(b.paid_minor - b.refunded_minor, b.currency),
    version: b.version,
  };
  if (b.hold_expires_at) out.hold_expires_at = b.hold_expires_at;
  if (b.note) out.note = b.note;
  if (b.guest_name) out.guest_name = b.guest_name;
  return out;
}

const app = express();
app.disable('x-powered-by');
app.set('etag', false);
app.use(express.json());
app.get('/readyz', (_, r) => r.json({ status: 'ready' }));
app.use((q, r, next) => {
  const header = q.headers.authorization;
  if (!header || !header.startsWith('Bearer ')) return r.sendStatus(401);
  try {
    q.user = verify(header.slice(7));
  } catch {
    return r.sendStatus(401);
  }
  next();
});

app.get('/v1/bookings/:id', async (q, r) => {
  if (!UUID.test(q.params.id)) throw new Refused(422, 'invalid');
  const { rows } = await transaction('fc_booking', '', q.user.sub, (run) => run('booking', [q.params.id]));
  if (!rows.length) throw new Refused(404, 'not_found');
  r.json(present(rows[0]));
});

const venues = new Map(world.clubs.map((c) => [c.venue_id, c]));
const courts = new Map(world.clubs.flatMap((c) => c.courts.map((id) => [id, c])));
/** The version of a venue's book: there is one in this world. */
const BOOK = 1;
const DATE = /^\d{4}-\d\d-\d\d$/;

app.get('/v1/venues/:id/availability', async (q, r) => {
  const club = venues.get(q.params.id);
  const { from, to, resource_id: court } = q.query;
  const minutes = Number(q.query.duration_min);
  if (!club) throw new Refused(404, 'not_found');
  if (!DATE.test(from) || !DATE.test(to) || !courts.has(court) || !Number.isInteger(minutes)) throw new Refused(422, 'invalid');
  const first = Date.parse(`${from}T00:00:00Z`);
  const last = Date.parse(`${to}T00:00:00Z`);
  const now = Date.now();
  // The same window as the product's: until what begins at the last moment of the last day is over.
  const until = last + DAY_MS + minutes * 6e4;
  const window = [new Date(first), new Date(until + MAX_CLAIM_MS), new Date(until)];
  const { rows } = await transaction('fc_booking', club.organisation_id, q.user.sub, (run) =>
    run('busy', [club.organisation_id, [court], ...window, new Date(now), 50000]),
    KEPT,
  );
  const days = [];
  for (let day = first; day <= last; day += DAY_MS) {
    const slots = [];
    let i = 0;
    for (let t = day + club.opens_min * 6e4; t + minutes * 6e4 <= day + club.closes_min * 6e4; t += club.slot_min * 6e4) {
      const end = t + minutes * 6e4;
      while (i < rows.length && rows[i].ends_at.getTime() <= t) i++;
      if (i < rows.length && rows[i].starts_at.getTime() < end) continue;
      if (t < now) continue;
      const start = new Date(t);
      const price = Math.round((club.hour_minor * minutes) / 60);
      slots.push({ start, end: new Date(end), local_start: start, price: money(price, club.currency) });
    }
    days.push({ date: new Date(day).toISOString().slice(0, 10), resources: [{ resource_id: court, slots }] });
  }
  r.json({ venue_id: club.venue_id, timezone: club.timezone, days });
});

/** One row in the event log, as the product's `emit` writes it. */
const told = (organisation, name, payload, person) =>
  [uuidv7(), organisation, name, 1, Buffer.from(JSON.stringify(payload)), 'person', person, null, '', '', '127.0.0.1'];
const emit = (run, organisation, name, payload, person) =>
  run('event', told(organisation, name, payload, person).map((value) => [value]));

const lockOn = (organisation, person) =>
  `; select pg_advisory_xact_lock(${crypto.createHash('blake2b512').update(organisation + person).digest().readBigInt64BE()})`;

app.post('/v1/bookings', async (q, r) => {
  const wish = q.body || {};
  const club = courts.get(wish.resource_id);
  const start = new Date(wish.start);
  const minutes = wish.duration_min;
  if (!club || Number.isNaN(start.getTime()) || !Number.isInteger(minutes) || minutes < 60 || minutes > 180 || minutes % 15)
    throw new Refused(422, 'invalid');
  if (wish.pay_with !== 'credits') throw new Refused(422, 'means_not_set_up');
  const minute = start.getUTCHours() * 60 + start.getUTCMinutes();
  if (minute < club.opens_min || minute + minutes > club.closes_min || minute % club.slot_min) throw new Refused(422, 'closed');
  const org = club.organisation_id;
  const person = q.user.sub;
  const now = new Date();
  const end = new Date(start.getTime() + minutes * 6e4);
  const holdUntil = new Date(now.getTime() + 10 * 6e4);
  const price = Math.round((club.hour_minor * minutes) / 60);
  const id = uuidv7();
  const lines = [{ label: club.label, amount: money(price, club.currency), rule: club.label }];
  const facts = {
    organisation_id: org, venue_id: club.venue_id, resource_id: wish.resource_id, booking_id: id, account_id: person,
    start, end, purpose: 'workout', team_size: 1, price: money(price, club.currency),
  };

  await transaction('fc_booking', org, person, async (run) => {
    if (!tuned) await run('lock_person', [org + person]);
    const values = [
      org, id, club.venue_id, wish.resource_id, person, null, 'payment_pending', start, end, club.timezone, 'workout', 1,
      club.currency, price, JSON.stringify(lines), '[]', 'credits', null, holdUntil, [wish.resource_id], start, end, now,
      new Date(end.getTime() + MAX_CLAIM_MS), ['pending_approval', 'payment_pending', 'upcoming', 'in_progress'],
      club.max_open, null, '[]', person, 'hold', 'customer', holdUntil, price, null,
    ];
    const said = [org, 'booking.held', { ...facts, hold_expires_at: holdUntil }, person];
    const done = tuned ? await run('hold_and_tell', [...values, ...told(...said), BOOK]) : await run('hold', [...values, BOOK]);
    const held = Object.values(done.rows[0]);
    if (held[0] >= club.max_open) throw new Refused(409, 'too_many_open_bookings');
    if (held[1] < 1) throw new Refused(409, 'slot_taken');
    if (!tuned) await emit(run, ...said);
  }, KEPT + lockOn(org, person));

  await transaction('fc_payments', org, person, async (run) => {
    const paid = {
      organisation_id: org, payment_id: id, charge_id: id, account_id: person, pay_with: 'credits',
      amount: money(price, club.currency), discount: money(0, club.currency),
    };
    const said = [org, 'payment.captured', paid, person];
    const charge = [org, id, id, person, 'credits', club.currency, '', price, 0, null, now, now];
    if (tuned) {
      const taken = await run('take_and_tell', [...charge, ...told(...said)]);
      if (!Object.values(taken.rows[0])[1]) throw new Refused(402, 'insufficient_credits');
      return;
    }
    await run('open_charge', charge);
    const spent = await run('spend', [org, person, club.currency, price, id, id, id, '', now]);
    if (!Object.values(spent.rows[0])[0]) throw new Refused(402, 'insufficient_credits');
    await emit(run, ...said);
  }, KEPT);

  await transaction('fc_booking', org, person, async (run) => {
    const values = [
      org, id, 1, 'upcoming', now, 'confirm', 'payment_pending', 'house', person, '', null, start, [wish.resource_id], start, end,
      price, 'credits', 0, price,
    ];
    const said = [org, 'booking.confirmed', { ...facts, paid: money(price, club.currency) }, person];
    const done = tuned ? await run('confirm_and_tell', [...values, ...told(...said)]) : await run('confirm', values);
    if (Object.values(done.rows[0])[0] < 1) throw new Refused(409, 'hold_expired');
    if (!tuned) await emit(run, ...said);
  }, KEPT);
  const { start: s, end: e, ...rest } = facts;
  delete rest.booking_id;
  r.status(201).json({ id, ...rest, status: 'upcoming', start: s, end: e, local_start: s, paid: money(price, club.currency), version: 2 });
});

app.use((e, q, r, next) => {
  if (e instanceof Refused) return r.status(e.status).json({ status: e.status, code: e.message });
  console.error(e);
  r.sendStatus(500);
});
app.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
