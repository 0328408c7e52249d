// GUILD_MEMBER_ADD, GUILD_MEMBER_UPDATE and GUILD_MEMBER_REMOVE.

import type {
  GatewayGuildMemberAddDispatchData,
  GatewayGuildMemberRemoveDispatchData,
  GatewayGuildMemberUpdateDispatchData,
} from 'discord-api-types/v10';
import { eventId } from './event-id.ts';
import type { DispatchContext, Outcome } from './outcome.ts';
import { ROUTES } from './routing.ts';
import { object, snowflake } from './untrusted.ts';
import { member, user } from './user.ts';

export function memberJoin(d: unknown, context: DispatchContext): Outcome {
  return present(d, context, ROUTES.memberJoin);
}

export function memberUpdate(d: unknown, context: DispatchContext): Outcome {
  return present(d, context, ROUTES.memberUpdate);
}

export function memberLeave(d: unknown, context: DispatchContext): Outcome {
  const from = object<GatewayGuildMemberRemoveDispatchData>(d, 'd');
  const guildId = snowflake(from.guild_id, 'd.guild_id');
  const who = user(from.user, 'd.user');
  const { family, priority } = ROUTES.memberLeave;
  return {
    kind: 'event',
    routingKey: family,
    priority,
    payload: {
      eventId: eventId(context.sessionId, context.sequence),
      eventType: family,
      timestamp: context.receivedAt,
      shardId: context.shardId,
      guildId,
      userId: who.id,
      data: { guild_id: guildId, user: who },
    },
  };
}

function present(
  d: unknown,
  context: DispatchContext,
  { family, priority }: typeof ROUTES.memberJoin | typeof ROUTES.memberUpdate,
): Outcome {
  const from = object<GatewayGuildMemberAddDispatchData | GatewayGuildMemberUpdateDispatchData>(d, 'd');
  const guildId = snowflake(from.guild_id, 'd.guild_id');
  const who = user(from.user, 'd.user');
  return {
    kind: 'event',
    routingKey: family,
    priority,
    payload: {
      eventId: eventId(context.sessionId, context.sequence),
      eventType: family,
      timestamp: context.receivedAt,
      shardId: context.shardId,
      guildId,
      userId: who.id,
      data: { guild_id: guildId, user: who, ...member(d, 'd') },
    },
  };
}
