/**
 * One websocket to the server that comes back by itself: subprotocol `gridwarden.v1`, see docs/guide/api.md.
 *
 * It carries frames and knows when the line is dead; what frames mean is the reducer's business.
 */
import type { Frame } from './wire';

export const SUBPROTOCOL = 'gridwarden.v1';
export const EVENTS_ID = 1;
/** A server that is silent this long after a ping was due is dead (the figure centrifuge uses). */
export const SILENCE_MS = 10_000;
export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_LONGEST_MS = 20_000;
/** A line that held this long was a good one: after it the first try goes at once again. */
const GOOD_AFTER_MS = 5000;
const PING_DEFAULT_MS = 15_000;

export const CLOSE = { badFrame: 4400, notSignedIn: 4401, forbidden: 4403, subprotocol: 4406, tooMany: 4429 } as const;

/** The part of WebSocket that is used, so that tests can bring their own. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((message: { data: unknown }) => void) | null;
  onclose: ((closed: { code: number }) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

export interface Cursor {
  epoch: string;
  seq: number;
}

export interface StreamHooks {
  open(): Socket;
  frame(frame: Frame, receivedAtMs: number): void;
  /** `up` false: no socket; `code` is its close code, 0 where the line simply went dead. */
  line(up: boolean, code: number): void;
  /** Where to resume; `null` asks for a snapshot. */
  cursor(): Cursor | null;
  deviceVersion(): number | null;
  now(): number;
  random(): number;
}

/** The wait before try number `tries` (0 is the first and goes at once): full jitter up to a doubling ceiling. */
export function backoffMs(tries: number, random: () => number): number {
  if (tries === 0) return 0;
  const ceiling = Math.min(BACKOFF_LONGEST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(tries, 16));
  return Math.min(BACKOFF_LONGEST_MS, BACKOFF_FIRST_MS + random() * (ceiling - BACKOFF_FIRST_MS));
}

export class Stream {
  #socket: Socket | null = null;
  #greeted = false;
  #greetedAtMs = 0;
  #running = false;
  #tries = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #pingMs = PING_DEFAULT_MS;
  #heardAtMs = 0;
  #devices: string[] = [];
  #devicesId = EVENTS_ID;

  constructor(private readonly hooks: StreamHooks) {}

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#tries = 0;
    this.#schedule();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#retry);
    this.#drop(1000, false);
  }

  /** The tab woke up or the network came back: a line that has been silent too long is not worth waiting for. */
  wake(): void {
    if (!this.#running) return;
    if (this.#socket !== null && this.hooks.now() - this.#heardAtMs <= this.#pingMs * 1.5) return;
    clearTimeout(this.#retry);
    this.#drop(0, true);
    this.#tries = 0;
    this.#schedule();
  }

  /** Look at these devices from now on, and at no others. */
  watchDevices(deviceIds: string[]): void {
    if (this.#devices.length > 0) this.#send({ t: 'unsub', id: this.#devicesId });
    this.#devices = deviceIds;
    // A new number each time, so that frames still under way for the last device are told apart.
    this.#devicesId += 1;
    this.#subscribeDevices(null);
  }

  #schedule(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), backoffMs(this.#tries, this.hooks.random));
    this.#tries += 1;
  }

  #connect(): void {
    if (!this.#running || this.#socket !== null) return;
    const socket = this.hooks.open();
    this.#socket = socket;
    this.#greeted = false;
    this.#pingMs = PING_DEFAULT_MS;
    this.#heard();
    socket.onmessage = (message) => {
      if (this.#socket === socket) this.#receive(message.data);
    };
    socket.onclose = (closed) => {
      if (this.#socket === socket) this.#lost(closed.code);
    };
  }

  #receive(data: unknown): void {
    this.#heard();
    const frame = parse(data);
    if (frame === null) return;
    if (frame.t === 'hello') this.#greet(frame);
    if (frame.t === 'ping') this.#send({ t: 'pong' });
    if (frame.t === 'd' && frame.id !== this.#devicesId) return;
    this.hooks.frame(frame, this.hooks.now());
    if (frame.t === 'hello') this.#subscribe();
    if (frame.t === 'gap') this.#lost(CLOSE.tooMany);
  }

  #greet(hello: Extract<Frame, { t: 'hello' }>): void {
    this.#greeted = true;
    this.#greetedAtMs = this.hooks.now();
    this.#pingMs = hello.ping_s * 1000;
    this.#heard();
    this.hooks.line(true, 0);
  }

  #subscribe(): void {
    const resume = this.hooks.cursor();
    this.#send({ t: 'sub', id: EVENTS_ID, ch: 'events', q: { area: '' }, ...(resume ? { resume } : {}) });
    this.#subscribeDevices(this.hooks.deviceVersion());
  }

  #subscribeDevices(version: number | null): void {
    if (this.#devices.length === 0) return;
    const q = { area: '', devices: this.#devices };
    const resume = version === null ? {} : { resume: { version } };
    this.#send({ t: 'sub', id: this.#devicesId, ch: 'devices', q, ...resume });
  }

  #send(frame: object): void {
    if (this.#greeted) this.#socket?.send(JSON.stringify(frame));
  }

  #heard(): void {
    this.#heardAtMs = this.hooks.now();
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(0), this.#pingMs + SILENCE_MS);
  }

  /** The line is gone, by whoever's doing; come back unless told to stop. */
  #lost(code: number): void {
    // A server that greets and falls over must not be called back without a pause.
    if (this.#greeted && this.hooks.now() - this.#greetedAtMs >= GOOD_AFTER_MS) this.#tries = 0;
    this.#drop(code, true);
    if (this.#running) this.#schedule();
  }

  #drop(code: number, tell: boolean): void {
    clearTimeout(this.#watch);
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    this.#greeted = false;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close(1000);
    if (tell) this.hooks.line(false, code);
  }
}

function parse(data: unknown): Frame | null {
  if (typeof data !== 'string') return null;
  try {
    const frame: unknown = JSON.parse(data);
    // An unknown `t` passes: the reducer leaves alone what it does not know, so an older page survives a newer server.
    return typeof frame === 'object' && frame !== null && 't' in frame ? (frame as Frame) : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
