// Asks a registry which index a tag names, by the HTTP API v2 (OCI distribution), anonymously: where the registry asks
// for a token, one is fetched from where it says. Registries on this machine are asked by HTTP, as Docker does.
import { hash } from 'node:crypto';
import { z } from 'zod';
import { errorMessage } from '../service/errors.ts';
import { type BaseImage, nameOf } from './base-images.ts';

/** For which the image is built. */
const PLATFORMS = ['linux/amd64', 'linux/arm64'];
const INDEXES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const INDEX = z.object({
  manifests: z.array(z.object({ platform: z.object({ os: z.string(), architecture: z.string() }).optional() })),
});
const WITHIN_MS = 30_000;

/** @returns `sha256:…` of the tag's index @throws Error with one sentence, where there is none for both platforms */
export async function indexDigest(image: BaseImage): Promise<string> {
  const scheme = /^(localhost|127(\.\d+){3})(:|$)/.test(image.registry) ? 'http' : 'https';
  const url = `${scheme}://${image.registry}/v2/${image.repository}/manifests/${image.tag}`;
  try {
    const body = await index(url);
    const there = platforms(body);
    const missing = PLATFORMS.filter((platform) => !there.includes(platform));
    if (missing.length > 0) throw new Error(`expected ${PLATFORMS.join(' and ')}, got none for ${missing.join(', ')}`);
    return `sha256:${hash('sha256', body)}`;
  } catch (error) {
    throw new Error(`${nameOf(image)}: ${errorMessage(error)}`, { cause: error });
  }
}

async function index(url: string): Promise<string> {
  let answer = await get(url);
  if (answer.status === 401) answer = await get(url, await token(answer.headers.get('www-authenticate') ?? ''));
  const type = answer.headers.get('content-type')?.split(';')[0] ?? 'nothing';
  if (!answer.ok) throw new Error(`expected the tag's index, got HTTP ${answer.status} from the registry`);
  if (!INDEXES.includes(type)) throw new Error(`expected an index of several architectures, got ${type}`);
  return await answer.text();
}

async function get(url: string, authorization?: string): Promise<Response> {
  const headers = { accept: INDEXES.join(', '), ...(authorization && { authorization }) };
  return await fetch(url, { headers, signal: AbortSignal.timeout(WITHIN_MS) }).catch((error: Error) => {
    throw new Error(`cannot reach ${new URL(url).host}: ${errorMessage(error.cause ?? error)}`, { cause: error });
  });
}

/** Source: https://distribution.github.io/distribution/spec/auth/token/ */
async function token(challenge: string): Promise<string> {
  const fields = [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value] as const);
  const { realm = '', ...query } = Object.fromEntries(fields);
  if (!/^bearer /i.test(challenge) || !URL.canParse(realm))
    throw new Error(`expected to be asked for an anonymous token, got '${challenge || 'no challenge'}'`);
  const url = new URL(realm);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const answer = await get(url.href);
  const { token, access_token } = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
  const given = token ?? access_token;
  if (typeof given === 'string') return `Bearer ${given}`;
  throw new Error(`expected an anonymous token from ${url.host}, got HTTP ${answer.status} without one`);
}

function platforms(body: string): string[] {
  try {
    return INDEX.parse(JSON.parse(body)).manifests.map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
  } catch (error) {
    throw new Error('expected an index with a list of manifests, got something else', { cause: error });
  }
}
