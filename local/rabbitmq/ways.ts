// Which ways lead to a RabbitMQ node on this machine, best first. Pure: machine.ts looks, this decides.
// Production runs 4.3, so Debian's 4.3 unpacked into a folder comes before whatever older version is installed.

/** The Debian suite whose RabbitMQ is of production's series, 4.3. */
export const PRODUCTION_SUITE = 'forky';

export interface Machine {
  /** RABBITMQ_URL and RABBITMQ_MANAGEMENT_URL. */
  readonly givenUrl: string | undefined;
  readonly givenManagementUrl: string | undefined;
  /** RABBITMQ_SUITE, to run on the version of another suite than production's. */
  readonly wantedSuite: string | undefined;
  /** Suites whose RabbitMQ is already unpacked in the cache folder. */
  readonly unpackedSuites: readonly string[];
  /** Suites that this machine's apt can bring. */
  readonly aptSuites: readonly string[];
  /** The suite of the machine itself ("noble"), if it has apt. */
  readonly ownSuite: string | undefined;
  /** Path of an installed `rabbitmq-server`. */
  readonly installedServer: string | undefined;
  /** A Docker daemon answers. */
  readonly docker: boolean;
}

export type Way =
  | { readonly kind: 'given'; readonly url: string; readonly managementUrl: string | undefined }
  | { readonly kind: 'unpacked'; readonly suite: string }
  | { readonly kind: 'installed'; readonly server: string }
  | { readonly kind: 'docker' };

export function waysToRabbitMq(machine: Machine): Way[] {
  if (machine.givenUrl) {
    return [{ kind: 'given', url: machine.givenUrl, managementUrl: machine.givenManagementUrl }];
  }
  const reachable = (suite: string) => machine.unpackedSuites.includes(suite) || machine.aptSuites.includes(suite);
  const suite = machine.wantedSuite || PRODUCTION_SUITE;
  const ways: Way[] = [];
  if (reachable(suite)) ways.push({ kind: 'unpacked', suite });
  // Who names a suite wants its version: any other would be a silent answer to another question.
  if (machine.wantedSuite) return ways;
  if (machine.installedServer) ways.push({ kind: 'installed', server: machine.installedServer });
  if (machine.docker) ways.push({ kind: 'docker' });
  if (machine.ownSuite && machine.ownSuite !== suite && reachable(machine.ownSuite)) {
    ways.push({ kind: 'unpacked', suite: machine.ownSuite });
  }
  return ways;
}

export const NOTHING_FOUND =
  'No RabbitMQ can be started on this machine: install rabbitmq-server (4.x) or Docker, or set RABBITMQ_URL to a broker with the management plugin.';
