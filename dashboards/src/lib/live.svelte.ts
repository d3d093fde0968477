/** The live state of the page: the socket feeds the reducer, components read from here. */
import { clock } from './clock.svelte';
import { EMPTY, reduce, type Action, type State } from './reducer';
import { EVENTS_ID, Stream, SUBPROTOCOL, type Socket } from './stream';
import type { Alarm, Frame, GridEvent } from './wire';

/** A short break is no news; after this long without a socket it is said. */
export const BANNER_AFTER_MS = 3000;
/** After this long nothing on the screen may look live any more. */
export const STALE_AFTER_MS = 30_000;
const HIDDEN_BATCH_MS = 200;

class Live {
  /** Thousands of objects: replaced as a whole, never made deeply reactive. */
  state = $state.raw<State>(EMPTY);
  up = $state(false);
  closeCode = $state(0);
  /** The code with which the server refused to tell events. */
  refused = $state<string | null>(null);
  #downSinceMs = $state(Date.now());
  #heardAtMs = $state<number | null>(null);
  #scheduled = false;
  #state: State = EMPTY;
  #stream = new Stream({
    open: () => new WebSocket(address(), SUBPROTOCOL) as unknown as Socket,
    frame: (frame, receivedAtMs) => this.#frame(frame, receivedAtMs),
    line: (up, code) => this.#line(up, code),
    cursor: () => this.#cursor(),
    deviceVersion: () => this.#state.deviceVersion,
    now: () => Date.now(),
    random: () => Math.random(),
  });

  /** Open events and their alarms are complete as of `through`. */
  get loaded(): boolean {
    return this.state.through !== null;
  }

  get phase(): 'live' | 'connecting' | 'lost' | 'stale' {
    if (this.up) return this.loaded ? 'live' : 'connecting';
    const downMs = this.#clientNowMs - this.#downSinceMs;
    if (this.#heardAtMs !== null && this.#clientNowMs - this.#heardAtMs > STALE_AFTER_MS) return 'stale';
    return downMs > BANNER_AFTER_MS ? 'lost' : 'connecting';
  }

  /** Server time up to which what is shown is true; `null` before anything was heard. */
  get dataUntilMs(): number | null {
    return this.#heardAtMs === null ? null : this.#heardAtMs + clock.offsetMs;
  }

  get #clientNowMs(): number {
    return clock.nowMs - clock.offsetMs;
  }

  start(): () => void {
    this.#downSinceMs = Date.now();
    const wake = () => {
      if (document.visibilityState === 'visible') this.#stream.wake();
    };
    document.addEventListener('visibilitychange', wake);
    addEventListener('online', wake);
    addEventListener('pageshow', wake);
    this.#stream.start();
    return () => {
      document.removeEventListener('visibilitychange', wake);
      removeEventListener('online', wake);
      removeEventListener('pageshow', wake);
      this.#stream.stop();
      this.#state = this.state = EMPTY;
      this.up = false;
      this.#heardAtMs = null;
    };
  }

  watchDevices(deviceIds: string[]): void {
    this.#apply({ t: 'watch' });
    this.#stream.watchDevices(deviceIds);
  }

  /** What came over HTTP; the revision rule holds for it too. */
  merge(events: GridEvent[], alarms: Alarm[]): void {
    this.#apply({ t: 'merge', events, alarms });
  }

  #cursor() {
    const { epoch, through } = this.#state;
    return epoch === null || through === null ? null : { epoch, seq: through };
  }

  #frame(frame: Frame, receivedAtMs: number): void {
    this.#heardAtMs = receivedAtMs;
    if (frame.t === 'hello' || frame.t === 'ping') clock.heard(frame.server_time, receivedAtMs);
    if (frame.t === 'err' && frame.id === EVENTS_ID) this.refused = frame.code;
    if (frame.t === 'sub_ok' && frame.id === EVENTS_ID) this.refused = null;
    this.#apply(frame);
  }

  #line(up: boolean, code: number): void {
    if (this.up && !up) this.#downSinceMs = Date.now();
    this.up = up;
    this.closeCode = code;
  }

  /** The state moves at once; the screen follows once a frame, so that a flood costs one drawing and not hundreds. */
  #apply(action: Action): void {
    this.#state = reduce(this.#state, action);
    if (this.#scheduled) return;
    this.#scheduled = true;
    const show = () => {
      this.#scheduled = false;
      this.state = this.#state;
    };
    // Hidden tabs get no animation frames.
    if (document.visibilityState === 'visible') requestAnimationFrame(show);
    else setTimeout(show, HIDDEN_BATCH_MS);
  }
}

function address(): string {
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/ws`;
}

export const live = new Live();
