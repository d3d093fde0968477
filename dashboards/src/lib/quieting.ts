/** Reasons of quiet alarms, and what a decision is about. Pure. */
import type { Quieting } from './wire';

/** `silence:42` is a silence and `42`; `suppressed` has no detail. */
export function partsOf(reason: string): { kind: string; detail: string } {
  const colon = reason.indexOf(':');
  return colon < 0 ? { kind: reason, detail: '' } : { kind: reason.slice(0, colon), detail: reason.slice(colon + 1) };
}

/** The number of the decision behind a reason; `null`: no person decided it. */
export function decisionOf(reason: string): number | null {
  const { detail } = partsOf(reason);
  return /^\d+$/.test(detail) ? Number(detail) : null;
}

/** What a decision matches, as it was written; empty: everything. */
export function whichText(one: Pick<Quieting, 'matchers' | 'area'>): string {
  const parts = Object.values(one.matchers).map((wanted) => wanted.join(', '));
  return [...parts, ...(one.area ? [one.area] : [])].join(' · ');
}
