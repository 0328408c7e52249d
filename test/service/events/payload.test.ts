import { readFileSync } from 'node:fs';
import type {
  APIAttachment,
  APIChannel,
  APIGuildMember,
  APIInteractionDataResolvedChannel,
  APIMessage,
  APIMessageComponentInteraction,
  APIModalSubmitInteraction,
  APIRole,
  APIThreadChannel,
  APIUser,
  GatewayGuildCreateDispatchData,
  GatewayGuildMemberAddDispatchData,
  GatewayGuildMemberRemoveDispatchData,
  GatewayMessageCreateDispatchData,
} from 'discord-api-types/v10';
import { expect, expectTypeOf, test } from 'vitest';
import {
  type Channel,
  DiscordEventPayload,
  type GuildJoinData,
  type InputAttachment,
  type InteractionMember,
  type MemberData,
  type MemberLeaveData,
  type MessageCreateData,
  type ModalData,
  payloadJsonSchema,
  type QuotedMessage,
  type Role,
  type SelectData,
  type User,
} from '../../../service/events/payload.ts';
import { GUILD, PRIVATE, USER } from './dispatches.ts';

type NamesOf<T> = T extends unknown ? keyof T : never;
type Ours = 'hasContent' | 'hasAttachments';

test("`data` has Discord's own field names, and nothing that Discord does not have", () => {
  expectTypeOf<Exclude<keyof User, keyof APIUser>>().toBeNever();
  expectTypeOf<Exclude<keyof MemberData, keyof GatewayGuildMemberAddDispatchData>>().toBeNever();
  expectTypeOf<Exclude<keyof MemberLeaveData, keyof GatewayGuildMemberRemoveDispatchData>>().toBeNever();
  expectTypeOf<Exclude<keyof InteractionMember, keyof APIGuildMember | 'permissions'>>().toBeNever();
  expectTypeOf<Exclude<keyof GuildJoinData, keyof GatewayGuildCreateDispatchData>>().toBeNever();
  expectTypeOf<Exclude<keyof MessageCreateData, keyof GatewayMessageCreateDispatchData | Ours>>().toBeNever();
  expectTypeOf<Exclude<keyof SelectData, keyof APIMessageComponentInteraction>>().toBeNever();
  expectTypeOf<Exclude<keyof ModalData, keyof APIModalSubmitInteraction>>().toBeNever();
  expectTypeOf<Exclude<keyof Role, keyof APIRole>>().toBeNever();
  expectTypeOf<Exclude<keyof InputAttachment, keyof APIAttachment>>().toBeNever();
  expectTypeOf<Exclude<keyof QuotedMessage, keyof APIMessage | 'guild_id' | Ours>>().toBeNever();
  expectTypeOf<
    Exclude<keyof Channel, NamesOf<APIChannel | APIThreadChannel | APIInteractionDataResolvedChannel>>
  >().toBeNever();
});

test("what Discord's types promise fits the contract", () => {
  expectTypeOf<APIUser>().toExtend<User>();
  expectTypeOf<APIRole>().toExtend<Role>();
  expectTypeOf<APIAttachment>().toExtend<InputAttachment>();
  expectTypeOf<GatewayGuildMemberAddDispatchData>().toExtend<MemberData>();
  expectTypeOf<GatewayGuildMemberRemoveDispatchData>().toExtend<MemberLeaveData>();
  expectTypeOf<GatewayGuildCreateDispatchData>().toExtend<GuildJoinData>();
  expectTypeOf<GatewayMessageCreateDispatchData & { guild_id: string }>().toExtend<Omit<MessageCreateData, Ours>>();
});

test('a worker narrows the event by its type', () => {
  const told: DiscordEventPayload = {
    eventId: '250239c7-dc0d-560e-b175-9037305871d8',
    eventType: 'member.leave',
    timestamp: 1,
    shardId: 0,
    guildId: GUILD,
    userId: USER,
    data: { guild_id: GUILD, user: { id: USER, username: 'mason' } },
  };
  const payload = DiscordEventPayload.parse(told);
  expect(payload.eventType === 'member.leave' && payload.data.user.username).toBe('mason');
});

test('a field that is not on the list is refused', () => {
  const event = {
    eventId: '250239c7-dc0d-560e-b175-9037305871d8',
    eventType: 'guild.leave',
    timestamp: 1,
    shardId: 0,
    guildId: GUILD,
    data: { id: GUILD },
  };
  expect(DiscordEventPayload.safeParse(event).success).toBe(true);
  expect(DiscordEventPayload.safeParse({ ...event, data: { id: GUILD, content: PRIVATE } }).success).toBe(false);
  expect(DiscordEventPayload.safeParse({ ...event, userId: USER }).success).toBe(false);
});

test('docs/discord-event-payload.schema.json is current (otherwise: npm run schema)', () => {
  const committed = readFileSync(new URL('../../../docs/discord-event-payload.schema.json', import.meta.url), 'utf8');
  expect(JSON.parse(committed)).toEqual(JSON.parse(JSON.stringify(payloadJsonSchema())));
});
