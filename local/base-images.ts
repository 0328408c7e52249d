// The base images that a Dockerfile names: `ARG <NAME>=<registry>/<repository>:<tag>@sha256:…`, where a stage is
// `FROM ${<NAME>}`. Reads them and pins them to other digests. Pure: registry.ts asks what a registry has.

export interface BaseImage {
  /** Of the build argument. */
  readonly argument: string;
  /** Host, and port where there is one. */
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
  /** `sha256:…`; none while it is not pinned. */
  readonly digest: string | undefined;
}

// A registry's name has a dot or a port: without one, Docker means its Hub.
const REFERENCE = /^([\w-]+(?:\.[\w-]+)+(?::\d+)?|[\w-]+:\d+)\/([\w./-]+):([\w.-]+)(?:@(sha256:[0-9a-f]{64}))?$/;

/** @throws Error with one sentence where a stage's base is no argument, or its default no whole reference */
export function baseImages(dockerfile: string): BaseImage[] {
  return [...dockerfile.matchAll(/^FROM\s+(?:--\S+\s+)*(\S+)/gim)].map(([, base = '']) => {
    const [, argument] = /^\$\{(\w+)\}$/.exec(base) ?? [];
    if (argument === undefined) throw new Error(`FROM ${base}: expected an argument such as \${RUNTIME_IMAGE}`);
    const [, reference = ''] = line(argument).exec(dockerfile) ?? [];
    const [, registry, repository, tag, digest] = REFERENCE.exec(reference) ?? [];
    if (registry === undefined || repository === undefined || tag === undefined)
      throw new Error(`ARG ${argument}: expected <registry>/<repository>:<tag>, got '${reference}'`);
    return { argument, registry, repository, tag, digest };
  });
}

export const nameOf = ({ registry, repository, tag }: BaseImage): string => `${registry}/${repository}:${tag}`;

/** The same Dockerfile with another digest of this image. */
export function pinned(dockerfile: string, image: BaseImage, digest: string): string {
  return dockerfile.replace(line(image.argument), `ARG ${image.argument}=${nameOf(image)}@${digest}`);
}

const line = (argument: string): RegExp => new RegExp(`^ARG ${argument}=(\\S*)$`, 'm');
