/** The server's time, told by the client's clock and the difference to it. Ages count from it, never from the PC. */

/** A PC clock further off than this is worth telling the operator. */
const OFF_MS = 5000;

class Clock {
  /** Server minus client, milliseconds. */
  offsetMs = $state(0);
  /** The server's time now; moves once a second. */
  nowMs = $state(Date.now());
  /** How long the last ping took to get here, milliseconds. */
  lagMs = $state<number | null>(null);

  get isOff(): boolean {
    return Math.abs(this.offsetMs) > OFF_MS;
  }

  start(): () => void {
    const timer = setInterval(() => this.tick(), 1000);
    return () => clearInterval(timer);
  }

  tick(): void {
    this.nowMs = Date.now() + this.offsetMs;
  }

  /** An answer over HTTP: the server's time lies half-way between question and answer. */
  sync(serverTime: string, sentAtMs: number, receivedAtMs: number): void {
    this.offsetMs = Date.parse(serverTime) - (sentAtMs + receivedAtMs) / 2;
    this.tick();
  }

  /** A frame says when it was sent; one that seems to come from the future shows that the offset is too small. */
  heard(serverTime: string, receivedAtMs: number): void {
    const apartMs = Date.parse(serverTime) - receivedAtMs;
    if (apartMs > this.offsetMs) this.offsetMs = apartMs;
    this.lagMs = Math.round(this.offsetMs - apartMs);
  }
}

export const clock = new Clock();
