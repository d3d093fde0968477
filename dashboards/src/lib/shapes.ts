/** The shapes of the severities in a box of 16 by 16; `low` is drawn hollow. The same in lists and on the map. */
import type { Severity } from './wire';

export const SHAPES: Record<Severity, string> = {
  critical: 'M8 1l7 7-7 7-7-7z',
  high: 'M8 1.5l7 13H1z',
  medium: 'M2 2h12v12H2z',
  low: 'M8 3a5 5 0 100 10A5 5 0 008 3z',
};

/** Resources, such as micro fire stations. */
export const HEXAGON = 'M8 1l6.1 3.5v7L8 15l-6.1-3.5v-7z';
