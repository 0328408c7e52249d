// What a bot without the MessageContent intent does not get to see: Discord sends the message with these fields empty.
// Excepted are direct messages, messages that name the bot, and the bot's own.
// https://discord.com/developers/docs/events/gateway#message-content-intent

import type { GatewayMessageCreateDispatchData } from 'discord-api-types/v10';

type Message = GatewayMessageCreateDispatchData;

const BLANK = { content: '', embeds: [], attachments: [], components: [] };

/** A dispatch's `d` as that bot gets it. */
export function withoutContent(dispatch: string, d: object, botId: string): object {
  if (dispatch === 'MESSAGE_CREATE' || dispatch === 'MESSAGE_UPDATE') return messageWithoutContent(d as Message, botId);
  return dispatch === 'AUTO_MODERATION_ACTION_EXECUTION' ? { ...d, content: '', matched_content: '' } : d;
}

function messageWithoutContent(message: Message, botId: string): Message {
  const mayRead =
    message.guild_id === undefined || message.author.id === botId || message.mentions.some(({ id }) => id === botId);
  if (mayRead) return message;
  const { referenced_message: referenced, message_snapshots: snapshots, poll: _, ...rest } = message;
  const message_snapshots = snapshots?.map(({ message: inner }) => ({ message: { ...inner, ...BLANK } }));
  return {
    ...rest,
    ...BLANK,
    ...(referenced && { referenced_message: { ...referenced, ...BLANK } }),
    ...(message_snapshots && { message_snapshots }),
  };
}
