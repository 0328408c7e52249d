// What a bot without the MessageContent intent does not get to see: Discord sends the message with these fields empty.
// Excepted are direct messages, messages that name the bot, and the bot's own.
// https://discord.com/developers/docs/events/gateway#message-content-intent

import type { GatewayMessageCreateDispatchData } from 'discord-api-types/v10';

type Message = Partial<GatewayMessageCreateDispatchData>;

export function withoutContent(
  message: GatewayMessageCreateDispatchData,
  botId: string,
): GatewayMessageCreateDispatchData {
  return mayRead(message, botId) ? message : { ...message, ...blanked(message) };
}

function mayRead(message: GatewayMessageCreateDispatchData, botId: string): boolean {
  return (
    message.guild_id === undefined || message.author.id === botId || message.mentions.some((user) => user.id === botId)
  );
}

function blanked(message: Message): Message {
  const { referenced_message: referenced, message_snapshots: snapshots } = message;
  return {
    content: '',
    embeds: [],
    attachments: [],
    components: [],
    ...(message.poll && { poll: undefined }),
    ...(referenced && {
      referenced_message: { ...referenced, content: '', embeds: [], attachments: [], components: [] },
    }),
    ...(snapshots && {
      message_snapshots: snapshots.map(({ message: inner }) => ({
        message: { ...inner, content: '', embeds: [], attachments: [] },
      })),
    }),
  };
}
