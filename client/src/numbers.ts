// Numbers for the wire, whatever an application or a browser says.

/** The largest number of 32 bits, where the protocol has such. */
export const MOST_32_BITS = 2 ** 32 - 1;

/** A whole number from 0 to `most`; what is none counts as 0. */
export function amount(value: number, most: number = Number.MAX_SAFE_INTEGER): number {
  return value > 0 ? Math.min(Math.round(value), most) : 0;
}

/** The same for what may be unknown: what is no number from 0 stays so. */
export function perhaps(value: number | undefined, most?: number): number | undefined {
  return value !== undefined && Number.isFinite(value) && value >= 0 ? amount(value, most) : undefined;
}
