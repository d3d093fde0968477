/** Which events are listed, in which order, and how many there are of each severity. Pure. */
import { isWithin } from './rollup';
import { rankOf } from './severity';
import { SEVERITIES, type GridEvent, type Severity } from './wire';

export interface EventFilter {
  severities: ReadonlySet<Severity>;
  state: 'open' | 'closed' | 'all';
  text: string;
  /** Only events in this area; `""` is everywhere. */
  area: string;
}

export const NO_FILTER: EventFilter = { severities: new Set(), state: 'open', text: '', area: '' };

/**
 * Open ones first, the worst of them on top, then what nobody has acknowledged, then the newest; closed ones by time.
 * `searchable` gives the words of an event as they stand on the screen.
 */
export function listed(
  events: Iterable<GridEvent>,
  filter: EventFilter,
  searchable: (event: GridEvent) => string,
): GridEvent[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = [...events].filter(
    (event) =>
      (filter.state === 'all' || event.state === filter.state) &&
      isWithin(event.area, filter.area) &&
      (filter.severities.size === 0 || filter.severities.has(event.severity)) &&
      (words.length === 0 || containsAll(searchable(event).toLowerCase(), words)),
  );
  return chosen.sort((a, b) => urgency(b) - urgency(a) || b.opened_at.localeCompare(a.opened_at) || b.event_id.localeCompare(a.event_id)); // prettier-ignore
}

function urgency(event: GridEvent): number {
  return event.state === 'open' ? 2 * rankOf(event.severity) + (event.unacknowledged_count > 0 ? 1 : 0) : 0;
}

function containsAll(text: string, words: string[]): boolean {
  return words.every((word) => text.includes(word));
}

export interface Figures {
  open: Record<Severity, number>;
  unacknowledged: number;
  firing: number;
}

/** The figures of the strip; only open events count. */
export function figures(events: Iterable<GridEvent>): Figures {
  const open = Object.fromEntries(SEVERITIES.map((severity) => [severity, 0])) as Record<Severity, number>;
  const sums: Figures = { open, unacknowledged: 0, firing: 0 };
  for (const event of events) {
    if (event.state !== 'open') continue;
    open[event.severity] += 1;
    if (event.unacknowledged_count > 0) sums.unacknowledged += 1;
    sums.firing += event.firing_count;
  }
  return sums;
}
