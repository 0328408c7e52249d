// Asks a registry which index a tag names, by the HTTP API v2 (OCI distribution), anonymously: where the registry asks
// for a token, one is fetched from where it says. Registries on this machine are spoken to by HTTP, as Docker does.
import { createHash } from 'node:crypto';
import { type BaseImage, nameOf } from './base-images.ts';

/** On which the image is built, and on which it runs. */
const ARCHITECTURES = ['amd64', 'arm64'] as const;
const INDEXES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const MANIFESTS = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const WITHIN_MS = 30_000;

/** @returns `sha256:…` of the tag's index @throws Error with one sentence, where there is none for both architectures */
export async function indexDigest(image: BaseImage): Promise<string> {
  const name = nameOf(image);
  const scheme = /^(localhost|127(\.\d+){3})(:|$)/.test(image.registry) ? 'http' : 'https';
  const url = `${scheme}://${image.registry}/v2/${image.repository}/manifests/${image.tag}`;
  let answer = await get(name, url);
  if (answer.status === 401) answer = await get(name, url, await token(name, answer));
  const body = Buffer.from(await answer.arrayBuffer());
  if (answer.status === 404) throw new Error(`${name}: expected a tag of this name, got HTTP 404 from the registry`);
  if (!answer.ok) throw new Error(`${name}: expected the tag's index, got HTTP ${answer.status} from the registry`);

  const type = answer.headers.get('content-type')?.split(';')[0] ?? 'nothing';
  if (!INDEXES.includes(type))
    throw new Error(`${name}: expected an index of several architectures, got ${type}. Name an image that has one`);
  const there = platforms(name, body);
  const missing = ARCHITECTURES.filter((architecture) => !there.includes(`linux/${architecture}`));
  if (missing.length > 0)
    throw new Error(`${name}: expected linux/${ARCHITECTURES.join(' and linux/')}, got none for ${missing.join(', ')}`);

  const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`;
  const said = answer.headers.get('docker-content-digest') ?? digest;
  if (said !== digest) throw new Error(`${name}: expected an index with the digest ${said}, got ${digest}`);
  return digest;
}

async function get(name: string, url: string, authorization?: string): Promise<Response> {
  try {
    return await fetch(url, {
      headers: { accept: [...INDEXES, ...MANIFESTS].join(', '), ...(authorization && { authorization }) },
      signal: AbortSignal.timeout(WITHIN_MS),
    });
  } catch (error) {
    const { cause, message } = error as Error;
    const reason = cause instanceof Error && cause.message ? cause.message : message;
    throw new Error(`${name}: cannot reach ${new URL(url).host}: ${reason}`, { cause: error });
  }
}

/** Source: https://distribution.github.io/distribution/spec/auth/token/ */
async function token(name: string, refusal: Response): Promise<string> {
  const challenge = refusal.headers.get('www-authenticate') ?? '';
  const { realm, ...query } = Object.fromEntries(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]),
  );
  if (!/^bearer /i.test(challenge) || realm === undefined || !URL.canParse(realm))
    throw new Error(`${name}: expected to be asked for an anonymous token, got '${challenge || 'no challenge'}'`);
  const url = new URL(realm);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, String(value));
  const answer = await get(name, url.href);
  const { token, access_token } = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
  const given = token ?? access_token;
  if (!answer.ok || typeof given !== 'string')
    throw new Error(`${name}: expected an anonymous token from ${url.host}, got HTTP ${answer.status} without one`);
  return `Bearer ${given}`;
}

function platforms(name: string, body: Buffer): string[] {
  try {
    const { manifests } = JSON.parse(body.toString('utf8')) as {
      manifests: { platform?: { os?: string; architecture?: string } }[];
    };
    return manifests.map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
  } catch (error) {
    throw new Error(`${name}: expected an index with a list of manifests, got something else`, { cause: error });
  }
}
