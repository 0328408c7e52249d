// GUILD_MEMBER_ADD, GUILD_MEMBER_UPDATE and GUILD_MEMBER_REMOVE.

import {
  type GatewayGuildMemberAddDispatchData,
  type GatewayGuildMemberRemoveDispatchData,
  type GatewayGuildMemberUpdateDispatchData,
  GuildMemberFlags,
} from 'discord-api-types/v10';
import type { Moment } from './moment.ts';

export function join(moment: Moment): GatewayGuildMemberAddDispatchData {
  const { user, member } = moment.person();
  return {
    ...member,
    guild_id: moment.guild.id,
    user,
    roles: [],
    joined_at: moment.time(),
    pending: moment.random.chance(0.3),
    flags: moment.random.chance(0.1) ? GuildMemberFlags.DidRejoin : member.flags,
  };
}

/** Someone adds another bot. */
export function botJoin(moment: Moment): GatewayGuildMemberAddDispatchData {
  return { ...join(moment), user: moment.bot(), pending: false };
}

export function update(moment: Moment): GatewayGuildMemberUpdateDispatchData {
  const { user, member } = moment.person();
  const { avatar = null, banner = null, ...rest } = member;
  return { ...rest, avatar, banner, guild_id: moment.guild.id, user };
}

/** As Discord sends it at times: without `deaf`, `mute`, `pending` and `flags`, and without a time of joining (a guest). */
export function partialUpdate(moment: Moment): GatewayGuildMemberUpdateDispatchData {
  const { user, member } = moment.person();
  return {
    guild_id: moment.guild.id,
    user,
    roles: member.roles,
    joined_at: null,
    avatar: null,
    banner: null,
  };
}

export function timeout(moment: Moment): GatewayGuildMemberUpdateDispatchData {
  return { ...update(moment), communication_disabled_until: moment.time(-600_000) };
}

export function leave(moment: Moment): GatewayGuildMemberRemoveDispatchData {
  return { guild_id: moment.guild.id, user: moment.person().user };
}
