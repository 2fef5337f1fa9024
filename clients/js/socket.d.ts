/** A place in a topic's history. */
export interface Position { epoch: string; seq: number }

/** What happened in a topic. `seq` is missing for what is not kept: typing, presence. */
export interface TopicEvent<T = unknown> { op: "event"; topic: string; epoch?: string; seq?: number; type: string; data: T }

export interface Ack { id: string; seq: number }

export type State = "connecting" | "open" | "waiting" | "closed";
export type Presence = "online" | "away" | "dnd" | "offline";

/** What the server refused: `code` is stable, `frame` is all it said. */
export class Refused extends Error {
  constructor(frame: { code: string; title?: string });
  readonly code: string;
  readonly frame: Record<string, unknown>;
}

export interface Options {
  /** ws(s)://host/v1/socket */
  url: string;
  /** An access token, or a function that gives one; `renew` is true after the last one was refused. A page of the house needs none. */
  token?: string | null | ((renew: boolean) => string | Promise<string>);
  onState?: (state: State, code?: number) => void;
  /** Where there is no global one: the class of the package ws. */
  WebSocket?: unknown;
  random?: () => number;
}

export interface Follow {
  /** Each numbered event once and in order, and passing ones. */
  onEvent?: (event: TopicEvent<any>) => void;
  /** Read the state again: nothing is known yet, or what was missed is too old. */
  onReset?: (position: Position) => void;
  /** The topic may not be followed, or no longer. */
  onGone?: (code: string) => void;
  since?: Position | null;
}

export interface Following { readonly topic: string; readonly position: Position | null; stop(): void }

export class Socket {
  constructor(options: Options);
  readonly state: State;
  /** Messages that were not acknowledged yet. */
  readonly waiting: number;
  follow(topic: string, handlers?: Follow): Following;
  /** Sends until it is acknowledged, over as many connections as it takes. Rejects with Refused, or when the socket is closed. */
  send(topic: string, body: Record<string, unknown>, options?: { clientId?: string }): Promise<Ack>;
  typing(topic: string): void;
  read(topic: string, seq: number): void;
  presence(state: Presence): void;
  close(): void;
}
