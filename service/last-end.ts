// What a shard knows of its last connection when it asks whether it may connect again: gateway/ asks, lease/ decides.

export interface LastEnd {
  /** There is a session, and the connection did not end with op 9. */
  readonly resumable: boolean;
  /** Unix ms; nothing before the first connection. */
  readonly endedAt: number | undefined;
  /** Connections in a row that were permitted without proof of the lease. */
  readonly unproven: number;
  /** Another task may have resumed the session since: Discord closed the connection, or there was none yet. */
  readonly perhapsTaken: boolean;
}
