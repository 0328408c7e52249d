// The contract with workers: the envelope is checked, Discord's own object is open, and typed by discord-api-types.

import type {
  APIGuildMember,
  APIInteractionGuildMember,
  GatewayGuildCreateDispatchData,
  GatewayGuildMemberUpdateDispatchData,
  GatewayMessageCreateDispatchData,
  GatewayTypingStartDispatchData,
} from 'discord-api-types/v10';
import { expect, expectTypeOf, test } from 'vitest';
import { DiscordEventPayload } from '../../../service/events/payload.ts';

type DataOf<T extends DiscordEventPayload['eventType']> = Extract<DiscordEventPayload, { eventType: T }>['data'];

test("a worker's types are Discord's, less what is removed", () => {
  expectTypeOf<DataOf<'member.update'>>().toExtend<GatewayGuildMemberUpdateDispatchData>();
  expectTypeOf<DataOf<'member.join'>>().toExtend<APIGuildMember & { guild_id: string }>();
  // Outside guilds there is none.
  expectTypeOf<DataOf<'interaction.modal'>['member']>().toEqualTypeOf<APIInteractionGuildMember | undefined>();
  expectTypeOf<Extract<keyof DataOf<'interaction.button'>, 'token'>>().toBeNever();
  expectTypeOf<DataOf<'interaction.button'>['data']['custom_id']>().toEqualTypeOf<string>();
  type Message = DataOf<'message.create'>;
  expectTypeOf<Message['mentions']>().toEqualTypeOf<GatewayMessageCreateDispatchData['mentions']>();
  expectTypeOf<Message['hasContent']>().toEqualTypeOf<boolean>();
  // Only with FORWARD_MESSAGE_CONTENT.
  expectTypeOf<Message['content'] | Message['attachments']>().toExtend<string | readonly object[] | undefined>();
  expectTypeOf<NonNullable<Message['referenced_message']>['content']>().toEqualTypeOf<string | undefined>();
  expectTypeOf<Extract<keyof Message, 'nonce' | 'activity'>>().toBeNever();
  expectTypeOf<DataOf<'guild.join'>['features']>().toEqualTypeOf<GatewayGuildCreateDispatchData['features']>();
  expectTypeOf<Extract<keyof DataOf<'guild.join'>, 'members' | 'channels' | 'roles'>>().toBeNever();
  expectTypeOf<DataOf<'dispatch.guild_create'>['members']>().toEqualTypeOf<GatewayGuildCreateDispatchData['members']>();
  expectTypeOf<DataOf<'dispatch.typing_start'>>().toExtend<GatewayTypingStartDispatchData>();
});

const event = {
  eventId: '250239c7-dc0d-560e-b175-9037305871d8',
  eventType: 'member.leave',
  timestamp: 1,
  shardId: 0,
  guildId: '1',
  userId: '2',
  data: { guild_id: '1', user: { id: '2', username: 'mason' }, new_field: 1 },
};

test('a worker narrows the event by its type', () => {
  const payload = DiscordEventPayload.parse(event);
  expect(payload.eventType === 'member.leave' && payload.data.user.username).toBe('mason');
});

test('a field that a later version adds to the envelope is left out, and one of `data` stays', () => {
  expect(DiscordEventPayload.parse({ ...event, more: 1, interactionToken: 'x' })).toEqual(event);
});

test('of the envelope every other difference is a fault', () => {
  const accepts = (changes: object) => DiscordEventPayload.safeParse({ ...event, ...changes }).success;
  expect(accepts({})).toBe(true);
  for (const changes of [
    { guildId: undefined },
    { userId: 'me' },
    { eventType: 'member.unknown' },
    { eventId: 'x' },
    { data: [] },
    { data: null },
  ])
    expect(accepts(changes), JSON.stringify(changes)).toBe(false);
});
