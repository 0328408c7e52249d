// Discord's ids: milliseconds since 2015 above 22 bits that distinguish ids of the same millisecond; and its times.
// https://discord.com/developers/docs/reference#snowflakes

export const DISCORD_EPOCH_MS = 1_420_070_400_000;
const LOW_BITS = 22;

/**
 * @param at Unix ms
 * @param low below 2 ** 22
 */
export function snowflake(at: number, low: number): string {
  return ((BigInt(at - DISCORD_EPOCH_MS) << BigInt(LOW_BITS)) | BigInt(low)).toString();
}

/** The part of a guild's id that decides its shard. https://discord.com/developers/docs/events/gateway#sharding */
export const shardingKey = (id: string): number => Number(BigInt(id) >> BigInt(LOW_BITS));

/** A time as Discord writes it. */
export function isoTime(at: number): string {
  return `${new Date(at).toISOString().slice(0, -1)}000+00:00`;
}
