// READY: who the bot is, where to resume, and the guilds that a GUILD_CREATE will follow for.

import type { ApplicationFlags, GatewayReadyDispatchData } from 'discord-api-types/v10';
import { unavailable } from './guild.ts';
import type { Guild, World } from './world.ts';

export interface ReadySession {
  readonly sessionId: string;
  readonly resumeUrl: string;
  readonly shard: readonly [id: number, count: number];
}

/** With what Discord sends beside the documented fields. */
export function ready(
  world: World,
  { sessionId, resumeUrl, shard: [id, count] }: ReadySession,
  guilds: readonly Guild[],
): GatewayReadyDispatchData & Record<string, unknown> {
  return {
    v: 10,
    user: world.bot,
    guilds: guilds.map(unavailable),
    session_id: sessionId,
    session_type: 'normal',
    resume_gateway_url: resumeUrl,
    shard: [id, count],
    // GATEWAY_GUILD_MEMBERS_LIMITED and the badge of an application with global commands.
    application: { id: world.applicationId, flags: FLAGS, flags_new: String(FLAGS) },
    private_channels: [],
    relationships: [],
    presences: [],
    geo_ordered_rtc_regions: [],
    user_settings: {},
    guild_join_requests: [],
    _trace: ['["gateway-simulated",{"micros":0}]'],
  };
}

const FLAGS = 8_421_376 as ApplicationFlags;
