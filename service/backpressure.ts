// Whether to receive from Discord, by how full the outbox is. When it is full, the shards are closed with a resumable
// code; they connect again when it is half empty and the broker takes messages. Pure.

export interface Bounds {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/** The share of the fuller of the two bounds. */
export function fullness(outbox: { readonly count: number; readonly bytes: number }, bounds: Bounds): number {
  return Math.max(outbox.count / bounds.maxEvents, outbox.bytes / bounds.maxBytes);
}

/** @param flowing whether the broker takes messages now */
export function mayReceive(receiving: boolean, full: number, flowing: boolean): boolean {
  return receiving ? full < 1 : full <= 0.5 && flowing;
}
