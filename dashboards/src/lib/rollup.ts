/** The tree of areas with what lies below each: open events, the worst of them, devices. Pure. */
import { NORMAL, rankOf } from './severity';
import type { Area, GridEvent } from './wire';

export interface Sum {
  open: number;
  /** Rank of the worst open event, {@link NORMAL} without one. */
  worst: number;
  devices: number;
}

export interface TreeRow {
  area: Area;
  depth: number;
  /** How many areas lie directly in it. */
  children: number;
  expanded: boolean;
  sum: Sum;
}

const NOTHING: Sum = { open: 0, worst: NORMAL, devices: 0 };

/** Whether a code lies in the area of another; every code begins with its parent's, `""` is everywhere. */
export function isWithin(code: string, area: string): boolean {
  return code.startsWith(area);
}

/** What lies in each area, itself and everything below it. */
export function rollUp(
  areas: Iterable<Area>,
  devices: ReadonlyMap<string, number>,
  events: Iterable<GridEvent>,
): ReadonlyMap<string, Sum> {
  const sums = new Map<string, Sum>();
  for (const area of areas) sums.set(area.code, { ...NOTHING });
  const lengths = [...new Set([...sums.keys()].map((code) => code.length))];
  const above = (code: string) =>
    lengths.filter((length) => length <= code.length).flatMap((length) => sums.get(code.slice(0, length)) ?? []);
  for (const [code, n] of devices) for (const sum of above(code)) sum.devices += n;
  for (const event of events) {
    if (event.state !== 'open') continue;
    for (const sum of above(event.area)) {
      sum.open += 1;
      sum.worst = Math.max(sum.worst, rankOf(event.severity));
    }
  }
  return sums;
}

/** The rows on the screen: an area, and if it is expanded those in it, by code. */
export function treeRows(
  areas: Iterable<Area>,
  sums: ReadonlyMap<string, Sum>,
  isExpanded: (area: Area, depth: number) => boolean,
): TreeRow[] {
  const byParent = childrenOf([...areas]);
  const rows: TreeRow[] = [];
  const add = (area: Area, depth: number) => {
    const below = byParent.get(area.code) ?? [];
    const expanded = below.length > 0 && isExpanded(area, depth);
    rows.push({ area, depth, children: below.length, expanded, sum: sums.get(area.code) ?? NOTHING });
    if (expanded) for (const child of below) add(child, depth + 1);
  };
  for (const root of byParent.get('') ?? []) add(root, 0);
  return rows;
}

/** By parent; who sees a part of the district only begins at the widest area he sees. */
function childrenOf(areas: Area[]): Map<string, Area[]> {
  const known = new Set(areas.map((area) => area.code));
  const byParent = new Map<string, Area[]>();
  for (const area of [...areas].sort((a, b) => a.code.localeCompare(b.code))) {
    const parent = area.parent !== null && known.has(area.parent) ? area.parent : '';
    const siblings = byParent.get(parent);
    if (siblings) siblings.push(area);
    else byParent.set(parent, [area]);
  }
  return byParent;
}
