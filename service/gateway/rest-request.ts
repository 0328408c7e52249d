// One request to Discord's REST, and no more: no retry, no redirect (the token would follow it), a bounded body, and a
// deadline for all of it. What the answer means is decided in gateway-bot-answer.ts.

import { errorMessage } from '../errors.ts';

export interface RestAnswer {
  readonly status: number;
  readonly contentType: string;
  /** Seconds or an HTTP date, as it came. */
  readonly retryAfter: string | undefined;
  /** Of a redirect. */
  readonly location: string | undefined;
  readonly body: string;
}

const DEADLINE_MS = 10_000;
/** Of the body, when it is decompressed. Get Gateway Bot answers about 200. */
const MOST_BYTES = 64 * 1024;
/** https://docs.discord.com/developers/reference#user-agent */
const USER_AGENT = 'DiscordBot (discord-gateway-ingestor, 1)';

/**
 * @returns the answer, whatever its status; the token is masked where the answer repeats it
 * @throws Error with one sentence when no complete answer comes; the signal's reason when it aborts
 */
export async function restRequest(
  url: string,
  token: string,
  signal: AbortSignal,
  deadlineMs = DEADLINE_MS,
): Promise<RestAnswer> {
  const deadline = AbortSignal.timeout(deadlineMs);
  try {
    const response = await fetch(url, {
      headers: { authorization: `Bot ${token}`, 'user-agent': USER_AGENT },
      redirect: 'manual',
      signal: AbortSignal.any([signal, deadline]),
    });
    const body = await boundedText(response);
    const masked = (text: string | null) => text?.replaceAll(token, '[redacted]');
    const header = (name: string) => masked(response.headers.get(name));
    return {
      status: response.status,
      contentType: header('content-type') ?? '',
      retryAfter: header('retry-after'),
      location: header('location'),
      body: masked(body) ?? '',
    };
  } catch (error) {
    signal.throwIfAborted();
    if (deadline.aborted) throw new Error(`no complete answer within ${deadlineMs / 1_000} s`, { cause: error });
    throw new Error(sentenceOf(error), { cause: error });
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop ends the connection.
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES)
      throw new Error(`an answer of more than ${MOST_BYTES / 1024} KiB (HTTP ${response.status})`);
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

/** `fetch` throws "fetch failed" or "terminated"; what happened is the cause. */
function sentenceOf(error: unknown): string {
  const { cause = error } = error as { cause?: unknown };
  const code = (cause as { code?: unknown }).code;
  const message = errorMessage(cause);
  return typeof code === 'string' && !message.includes(code) ? `${message} (${code})` : message;
}
