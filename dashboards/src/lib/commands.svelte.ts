/** What operators do. A command stays pending until its echo arrives on the socket: only that is proof. */
import { get, post, Problem } from './http';
import { live } from './live.svelte';
import { toasts } from './toasts.svelte';
import type { Alarm, GridEvent, Outcome } from './wire';

/** Without an echo by then the object is asked for over HTTP. */
const ECHO_WAIT_MS = 8000;

type Target = { of: 'event' | 'alarm'; id: string };

interface Pending {
  target: Target;
  /** The revision at which the command has taken effect; `null` while the answer is still out. */
  revision: number | null;
}

class Commands {
  #pending = $state.raw<ReadonlyMap<string, Pending>>(new Map());

  /** Whether something was asked of this event or alarm whose echo has not been seen. */
  isPending(of: Target['of'], id: string): boolean {
    const pending = this.#pending.get(`${of}/${id}`);
    return pending !== undefined && !echoed(pending);
  }

  acknowledge(eventId: string): Promise<boolean> {
    return this.#send({ of: 'event', id: eventId }, `/events/${encodeURIComponent(eventId)}/ack`, { note: '' });
  }

  close(eventId: string, note: string): Promise<boolean> {
    return this.#send({ of: 'event', id: eventId }, `/events/${encodeURIComponent(eventId)}/close`, { note });
  }

  confirm(alarmId: string, outcome: Outcome, note: string): Promise<boolean> {
    const path = `/alarms/${encodeURIComponent(alarmId)}/confirm`;
    return this.#send({ of: 'alarm', id: alarmId }, path, { outcome, note });
  }

  async #send(target: Target, path: string, body: object): Promise<boolean> {
    const key = `${target.of}/${target.id}`;
    if (this.isPending(target.of, target.id)) return false;
    this.#set(key, { target, revision: null });
    try {
      const answer = await post<GridEvent | Alarm>(path, body);
      this.#set(key, { target, revision: answer.revision });
      setTimeout(() => void this.#askAgain(key), ECHO_WAIT_MS);
      return true;
    } catch (error) {
      this.#set(key, null);
      if (!(error instanceof Problem)) throw error;
      toasts.problem(error);
      return false;
    }
  }

  /** No echo: a broken socket, or an event this client does not follow. Then the answer is fetched. */
  async #askAgain(key: string): Promise<void> {
    const pending = this.#pending.get(key);
    if (!pending) return;
    if (!echoed(pending) && pending.target.of === 'event') {
      try {
        const { alarms, ...event } = await get<GridEvent & { alarms: Alarm[] }>(
          `/events/${encodeURIComponent(pending.target.id)}`,
        );
        live.merge([event], alarms);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        setTimeout(() => void this.#askAgain(key), ECHO_WAIT_MS);
        return;
      }
    }
    this.#set(key, null);
  }

  #set(key: string, pending: Pending | null): void {
    const next = new Map(this.#pending);
    if (pending) next.set(key, pending);
    else next.delete(key);
    this.#pending = next;
  }
}

function echoed({ target, revision }: Pending): boolean {
  if (revision === null) return false;
  const held = target.of === 'event' ? live.state.events.get(target.id) : live.state.alarms.get(target.id);
  return held !== undefined && held.revision >= revision;
}

export const commands = new Commands();
