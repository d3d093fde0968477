/** The greys of the map. Calm by rule: on it only what is wrong has colour (ISA-101). */
export interface Palette {
  outside: string;
  land: string;
  green: string;
  water: string;
  road: string;
  border: string;
  hover: string;
  chosen: string;
  label: string;
  halo: string;
  device: string;
  cluster: string;
  clusterText: string;
}

const LIGHT: Palette = {
  outside: '#dfe2e5', land: '#eff0f1', green: '#e2e7e1', water: '#cbd3da', road: '#ffffff', border: '#8b949d',
  hover: '#7d868f', chosen: '#181c21', label: '#3b434b', halo: '#f4f5f6', device: '#79798b', cluster: '#c3c8ce',
  clusterText: '#2b3138',
}; // prettier-ignore

const DARK: Palette = {
  outside: '#121518', land: '#1d2125', green: '#1f2623', water: '#15202a', road: '#31373d', border: '#59626b',
  hover: '#a2abb5', chosen: '#f2f4f6', label: '#b9c1c9', halo: '#16191d', device: '#79798b', cluster: '#3a4149',
  clusterText: '#d3d8dd',
}; // prettier-ignore

export const paletteOf = (dark: boolean): Palette => (dark ? DARK : LIGHT);
