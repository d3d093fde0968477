/** Who is signed in, and at which site. */
import { clock } from './clock.svelte';
import { get, Problem, signIn, signOut } from './http';
import { areas } from './areas.svelte';
import type { Session } from './wire';

const FAR_FROM_SERVER_MS = 1000;

class SessionStore {
  current = $state.raw<Session | null>(null);
  /** Before the first answer nobody knows whether someone is signed in. */
  known = $state(false);
  failure = $state.raw<Problem | null>(null);
  /** It was taken from us, not given up: the sign-in form says so. */
  ended = $state(false);

  get timeZone(): string {
    return this.current?.site.time_zone ?? 'Asia/Shanghai';
  }

  /** Operators and administrators act; viewers see. */
  get mayAct(): boolean {
    return this.current !== null && this.current.user.role !== 'viewer';
  }

  async load(): Promise<void> {
    const sentAtMs = Date.now();
    try {
      const session = await get<Session>('/auth/session');
      const receivedAtMs = Date.now();
      if (receivedAtMs - sentAtMs < FAR_FROM_SERVER_MS || !this.known) {
        clock.sync(session.server_time, sentAtMs, receivedAtMs);
      }
      this.current = session;
      this.failure = null;
      this.ended = false;
      void areas.load();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 401) {
        this.ended = this.current !== null;
        this.current = null;
      }
      this.failure = error.status === 401 ? null : error;
    } finally {
      this.known = true;
    }
  }

  async signIn(name: string, password: string): Promise<void> {
    await signIn(name, password);
    await this.load();
    if (this.failure) throw this.failure;
  }

  async signOut(): Promise<void> {
    await signOut();
    this.current = null;
  }
}

export const session = new SessionStore();
