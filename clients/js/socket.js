// The socket of Forecourt, for pages and programs: follow topics, send, and never lose a word.
// One connection. It comes back by itself, says up to where it knows each topic, and sends again what was not acknowledged.
// No dependencies. Runs wherever there is a WebSocket: browsers, Node 22, Node 20 with one passed in as `WebSocket`.
// This file exists twice, letter for letter: clients/js/socket.js for others, static/js/socket.js for our own pages.

const LEAST_MS = 250, MOST_MS = 15_000, PING_MS = 20_000, SILENCE_MS = 45_000, WAITING = 1000;
// A house takes 200 frames at once and 50 a second, one after the other. We stay below, and ask no more before it has answered.
const WINDOW = 50, BURST = 190, PER_S = 45;
const AGAIN = new Set(["unavailable", "rate_limited", "internal", "deadline_exceeded"]);

/** What the server refused: `code` is stable, `frame` is all it said. */
export class Refused extends Error {
  constructor(frame) {
    super(frame.title ?? frame.code);
    this.name = "Refused";
    this.code = frame.code;
    this.frame = frame;
  }
}

export class Socket {
  #url; #token; #make; #random; #change;
  #ws = null; #topics = new Map(); #sends = new Map(); #timer = 0; #pulse = 0; #failures = 0; #refusals = 0;
  #heard = 0; #wait = null; #ended = false; #state = "closed"; #presence = null; #number = 0;
  #line = new Map(); #asked = new Set(); #allowance = BURST; #filled = 0; #pace = 0;
  #prefix = Math.random().toString(36).slice(2, 10);

  /**
   * url: ws(s)://host/v1/socket. token: an access token, or a function that gives a fresh one (it may be async); a page of the
   * house itself needs none. onState(state, code) hears "connecting", "open", "waiting", "closed".
   */
  constructor({ url, token = null, onState = () => {}, WebSocket = globalThis.WebSocket, random = Math.random }) {
    if (!WebSocket) throw new Error("There is no WebSocket here: pass one, such as that of the package ws");
    this.#url = url; this.#token = token; this.#make = WebSocket; this.#change = onState; this.#random = random;
    this.#connect();
    globalThis.addEventListener?.("online", this.#now);
    globalThis.document?.addEventListener("visibilitychange", this.#now);
  }

  get state() { return this.#state; }

  /**
   * Follows a topic. onEvent(event) gets each numbered event once and in order, and passing ones (`seq` is undefined).
   * onReset(position) means: read the state again. It is called when nothing is known yet, and when what was missed is too old.
   * onGone(code) means: this topic may not be followed, or no longer.
   * Returns { position, stop() }; keep the position to go on from it another time.
   */
  follow(topic, { onEvent = () => {}, onReset = () => {}, onGone = () => {}, since = null } = {}) {
    const followed = { topic, onEvent, onReset, onGone, position: since };
    this.#topics.set(topic, followed);
    this.#subscribe(followed);
    return {
      topic,
      get position() { return followed.position; },
      stop: () => {
        if (this.#topics.get(topic) !== followed) return;
        this.#topics.delete(topic);
        this.#line.delete(`topic ${topic}`);
        this.#say({ op: "unsubscribe", topic });
      },
    };
  }

  /** Sends a message to a topic until it is acknowledged, over as many connections as it takes. Resolves with { id, seq }. */
  send(topic, body, { clientId = `${this.#prefix}-${++this.#number}` } = {}) {
    if (this.#sends.size >= WAITING) return Promise.reject(new Error("Too many messages wait to be sent"));
    return new Promise((resolve, reject) => {
      const frame = { ...body, op: "send", topic, client_id: clientId };
      this.#sends.set(clientId, { frame, resolve, reject });
      this.#ask(`message ${clientId}`, frame);
    });
  }

  /** How many messages were not acknowledged yet. */
  get waiting() { return this.#sends.size; }

  typing(topic) { this.#say({ op: "typing", topic }); }
  read(topic, seq) { this.#say({ op: "read", topic, seq }); }
  /** "online", "away", "dnd" or "offline". Said again after each reconnection. */
  presence(state) { this.#presence = state; this.#say({ op: "presence", state }); }

  close() {
    this.#ended = true;
    globalThis.removeEventListener?.("online", this.#now);
    globalThis.document?.removeEventListener("visibilitychange", this.#now);
    clearTimeout(this.#timer);
    clearInterval(this.#pulse);
    this.#forget();
    for (const { reject } of this.#sends.values()) reject(new Error("The socket was closed"));
    this.#sends.clear();
    this.#ws?.close(1000);
    this.#become("closed");
  }

  // --- the connection

  #become(state, code) {
    if (state === this.#state) return;
    this.#state = state;
    this.#change(state, code);
  }

  #now = () => {
    if (this.#ended || this.#ws || globalThis.document?.hidden) return;
    clearTimeout(this.#timer);
    this.#connect();
  };

  async #connect() {
    this.#become("connecting");
    this.#ws = {}; // one attempt at a time, also while the token is fetched
    let ws;
    try {
      const token = typeof this.#token === "function" ? await this.#token(this.#refusals > 0) : this.#token;
      if (this.#ended) return;
      ws = new this.#make(this.#url, token ? ["forecourt.v1", `bearer.${token}`] : ["forecourt.v1"]);
    } catch {
      this.#lost(0);
      return;
    }
    this.#ws = ws;
    this.#heard = Date.now();
    ws.onopen = () => this.#opened();
    ws.onmessage = (e) => this.#take(JSON.parse(e.data));
    ws.onerror = () => {};
    ws.onclose = (e) => { if (this.#ws === ws) this.#lost(e.code); };
    clearInterval(this.#pulse);
    this.#pulse = setInterval(() => this.#beat(ws), PING_MS);
    this.#pulse.unref?.();
  }

  #beat(ws) {
    if (Date.now() - this.#heard > SILENCE_MS) {
      ws.close();
      if (this.#ws === ws) this.#lost(0);
      return;
    }
    this.#say({ op: "ping" });
  }

  #opened() {
    this.#forget();
    this.#allowance = BURST;
    this.#filled = Date.now();
    this.#become("open");
    if (this.#presence) this.#say({ op: "presence", state: this.#presence });
    for (const followed of this.#topics.values()) this.#subscribe(followed);
    for (const [id, { frame }] of this.#sends) this.#ask(`message ${id}`, frame);
  }

  #lost(code) {
    clearInterval(this.#pulse);
    this.#forget();
    this.#ws = null;
    if (this.#ended) return;
    if (code === 4401) this.#refusals += 1;
    // Suspended; or refused with a token that cannot be renewed, or that was.
    if (code === 4403 || (code === 4401 && (typeof this.#token !== "function" || this.#refusals > 2))) {
      this.#become("closed", code);
      return;
    }
    this.#become("waiting", code);
    const most = Math.min(MOST_MS, LEAST_MS * 2 ** Math.min(this.#failures++, 10));
    const pause = this.#wait ?? (code === 4409 ? MOST_MS : most) * (0.5 + this.#random() / 2);
    this.#wait = null;
    this.#timer = setTimeout(() => this.#connect(), pause);
  }

  #say(frame) {
    if (this.#ws?.readyState !== 1) return;
    this.#allowance -= 1;
    this.#ws.send(JSON.stringify(frame));
  }

  /** Says what is answered, when it is its turn. Without a connection nothing: whoever opens one asks for all of it. */
  #ask(key, frame) {
    if (this.#ws?.readyState !== 1) return;
    this.#line.set(key, frame);
    this.#advance();
  }

  #answered(key) {
    if (this.#asked.delete(key)) this.#advance();
  }

  #advance() {
    const now = Date.now();
    this.#allowance = Math.min(BURST, this.#allowance + Math.max(0, now - this.#filled) * PER_S / 1000);
    this.#filled = now;
    for (const [key, frame] of this.#line) {
      if (this.#asked.size >= WINDOW) return;
      if (this.#allowance < 1) {
        clearTimeout(this.#pace);
        this.#pace = setTimeout(() => this.#advance(), 1000 / PER_S);
        return;
      }
      this.#line.delete(key);
      this.#asked.add(key);
      this.#say(frame);
    }
  }

  #forget() {
    clearTimeout(this.#pace);
    this.#line.clear();
    this.#asked.clear();
  }

  // --- what the server says

  #subscribe({ topic, position }) {
    this.#ask(`topic ${topic}`, { op: "subscribe", topic, ...(position && { since: position }) });
  }

  #take(frame) {
    this.#heard = Date.now();
    this.#failures = this.#refusals = 0;
    const followed = this.#topics.get(frame.topic), asked = this.#asked.has(`topic ${frame.topic}`);
    if (frame.op === "ack" || (frame.op === "error" && frame.client_id)) this.#answered(`message ${frame.client_id}`);
    else if (frame.op !== "event") this.#answered(`topic ${frame.topic}`);
    switch (frame.op) {
      case "event": return followed && this.#event(followed, frame);
      case "subscribed": return followed && this.#subscribed(followed, frame);
      case "reset": return followed && this.#reset(followed, frame);
      case "unsubscribed": return followed && frame.code && this.#gone(followed, frame.code);
      case "ack": return this.#acknowledged(frame);
      case "error": return this.#failed(frame, asked && followed);
      case "bye": this.#wait = frame.reconnect_in_ms; return undefined;
      default: return undefined;
    }
  }

  #subscribed(followed, { epoch, seq, recovered }) {
    if (!recovered) this.#reset(followed, { epoch, seq });
  }

  #reset(followed, { epoch, seq }) {
    followed.position = { epoch, seq };
    followed.onReset(followed.position);
  }

  #event(followed, event) {
    if (event.seq === undefined) return followed.onEvent(event);
    const here = followed.position;
    if (here && here.epoch === event.epoch) {
      if (event.seq <= here.seq) return undefined;
      if (event.seq > here.seq + 1) return this.#subscribe(followed); // cannot happen; if it does, nothing is lost
    }
    followed.position = { epoch: event.epoch, seq: event.seq };
    return followed.onEvent(event);
  }

  #gone(followed, code) {
    this.#topics.delete(followed.topic);
    followed.onGone(code);
  }

  #acknowledged(frame) {
    const sent = this.#sends.get(frame.client_id);
    if (!sent) return;
    this.#sends.delete(frame.client_id);
    sent.resolve({ id: frame.id, seq: frame.seq });
  }

  #failed(frame, followed) {
    const again = AGAIN.has(frame.code);
    const pause = (frame.retry_after_s ?? 1) * 1000 * (1 + this.#random());
    const sent = this.#sends.get(frame.client_id);
    if (sent && again) setTimeout(() => this.#sends.has(frame.client_id) && this.#ask(`message ${frame.client_id}`, sent.frame), pause);
    else if (sent) { this.#sends.delete(frame.client_id); sent.reject(new Refused(frame)); }
    else if (followed && frame.ref === frame.topic) { // and not of what else is said about a topic: typing, read
      if (again) setTimeout(() => this.#topics.get(frame.topic) === followed && this.#subscribe(followed), pause);
      else this.#gone(followed, frame.code);
    }
  }
}
