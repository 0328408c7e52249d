// GUILD_MEMBER_ADD, GUILD_MEMBER_UPDATE and GUILD_MEMBER_REMOVE.

import type {
  GatewayGuildMemberAddDispatchData,
  GatewayGuildMemberRemoveDispatchData,
  GatewayGuildMemberUpdateDispatchData,
} from 'discord-api-types/v10';
import type { EventContext } from './event-context.ts';

export function join(context: EventContext): GatewayGuildMemberAddDispatchData {
  const { user, member } = context.person();
  return { ...member, guild_id: context.guild.id, user, roles: [], joined_at: context.time() };
}

/** Someone adds another bot. */
export function botJoin(context: EventContext): GatewayGuildMemberAddDispatchData {
  return { ...join(context), user: context.world.user(context.random.below(50), true) };
}

export function update(context: EventContext): GatewayGuildMemberUpdateDispatchData {
  const { user, member } = context.person();
  const { avatar = null, banner = null, ...rest } = member;
  return { ...rest, avatar, banner, guild_id: context.guild.id, user };
}

export function leave(context: EventContext): GatewayGuildMemberRemoveDispatchData {
  return { guild_id: context.guild.id, user: context.person().user };
}
