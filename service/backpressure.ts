// Whether to receive from Discord, by how full the outbox is. At the marks the shards are closed with a resumable code;
// at half of them, and when messages leave again, they connect. Pure.

export interface Marks {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

export interface Pressure {
  readonly count: number;
  readonly bytes: number;
  /** Whether the broker takes messages now. */
  readonly flowing: boolean;
}

/** The fuller of the two bounds, as a share of it. */
export function fullness({ count, bytes }: Pick<Pressure, 'count' | 'bytes'>, marks: Marks): number {
  return Math.max(count / marks.maxEvents, bytes / marks.maxBytes);
}

export function mayReceive(receiving: boolean, pressure: Pressure, marks: Marks): boolean {
  const full = fullness(pressure, marks);
  return receiving ? full < 1 : full <= 0.5 && pressure.flowing;
}
