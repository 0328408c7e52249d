// Whether a deployment may begin, from what CloudFormation reports about the stacks of these names: do they belong to this
// bot, are they in a state that can be updated, and can their settings become the wanted ones. Pure: `bin/deploy.ts` sends the requests.
import { SettingsError } from './setting-values.ts';
import { type Settings, settingsFor } from './settings.ts';
import { APPLICATION, DEPLOYED_TEMPLATE, METADATA_KEY, stackNames, TAGS } from './stack-identity.ts';
import { transitionFaults } from './transition.ts';

export interface FoundStack {
  readonly name: string;
  /** `arn:aws:cloudformation:<region>:<account>:stack/…` */
  readonly arn: string;
  readonly status: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly terminationProtection: boolean;
  readonly template: unknown;
}

export interface Wanted {
  readonly settings: Settings;
  /** Of this checkout. */
  readonly instance: string | undefined;
}

/** Where the deployment would go: the login's account, and the region's availability zones where they could be read. */
export interface Place {
  readonly account: string | undefined;
  readonly zones: readonly string[] | undefined;
}

/** One sentence for each reason against it. */
export function deploymentFaults(stacks: readonly FoundStack[], wanted: Wanted, place: Place): string[] {
  const existing = stacks.filter(({ status }) => exists(status));
  const elsewhere = placeFaults(place, wanted.settings);
  if (elsewhere.length > 0) return elsewhere;
  // A stack of another owner is not looked at further.
  const foreign = existing.flatMap((stack) => ownershipFault(stack, wanted) ?? []);
  if (foreign.length > 0) return foreign;
  return [
    ...existing.flatMap((stack) => stateFault(stack, wanted.settings) ?? []),
    ...settingsFaults(existing, wanted),
  ];
}

/** Not a stack that a change set announced only, or that is deleted. */
export function exists(status: string): boolean {
  return status !== 'REVIEW_IN_PROGRESS' && status !== 'DELETE_COMPLETE';
}

/** The CDK would assume the roles of the settings' account, whose stacks were not looked at. */
function placeFaults({ account, zones }: Place, { account: wanted, network, broker }: Settings): string[] {
  if (wanted !== undefined && account !== undefined && account !== wanted) {
    return [
      `account: expected a login of account ${wanted}, got one of ${account}. Log in there, or change the setting`,
    ];
  }
  if (zones === undefined || network.existing) return [];
  const there = `this region (${zones.join(', ')})`;
  const unknown = (network.availabilityZones ?? []).filter((zone) => !zones.includes(zone));
  if (unknown.length > 0) return [`network.availabilityZones: expected zones of ${there}, got ${unknown.join(', ')}`];
  if (network.zones <= zones.length) return [];
  const wayOut =
    broker.nodes > zones.length
      ? `${broker.nodes} nodes need as many: choose another region, or broker.nodes 1 with network.zones ${zones.length}`
      : `Set network.zones to ${zones.length}, or choose another region`;
  return [`network.zones: expected at most the ${zones.length} zones of ${there}, got ${network.zones}. ${wayOut}`];
}

function ownershipFault({ name, arn, tags }: FoundStack, { settings, instance }: Wanted): string | undefined {
  const [, , , region, account] = arn.split(':');
  for (const [field, is] of Object.entries({ account, region })) {
    const wanted = settings[field as 'account' | 'region'];
    if (wanted !== undefined && wanted !== is) {
      return `${field}: expected ${wanted}, got ${is}, where ${name} was found. Log in to the other one, or change the setting`;
    }
  }
  const elsewhere = 'deploy this bot in another account or region';
  const application = tags[TAGS.application];
  if (application !== APPLICATION) {
    const got = application === undefined ? 'nothing' : `'${application}'`;
    return `${name}: expected the tag ${TAGS.application}=${APPLICATION}, got ${got}: this stack belongs to something else and would be overwritten. Remove it, or ${elsewhere}`;
  }
  const deployed = tags[TAGS.instance];
  if (deployed === undefined) {
    return `${name}: expected the tag ${TAGS.instance}, got none: it was not deployed by npm run deploy. If it is this bot's, npx cdk deploy --all -c environment=${settings.environment} -c instance=${instance ?? '<a name>'} gives it one; otherwise ${elsewhere}`;
  }
  if (deployed === instance) return undefined;
  const checkout = instance === undefined ? 'has no instance' : `is instance ${instance}`;
  return `${name}: deployed as instance ${deployed}, and this checkout ${checkout}. If it is the same bot, write "instance": "${deployed}" into cdk.context.json and commit it; if it is another bot, ${elsewhere}`;
}

/** @returns undefined where CloudFormation takes an update */
function stateFault({ name, status, terminationProtection }: FoundStack, settings: Settings): string | undefined {
  if (UPDATABLE.test(status)) return undefined;
  if (status.endsWith('_IN_PROGRESS')) return `${name} is ${status}: a change is under way. Wait until it has ended`;
  if (ROLLED_BACK_BY_HAND.test(status)) {
    return `${name} is ${status}: an update failed and was not rolled back to its end. Read why in its events, repair it, then npx cdk rollback ${name} -c environment=${settings.environment}`;
  }
  const unprotect = `aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name ${name} && `;
  const remove = `${terminationProtection ? unprotect : ''}aws cloudformation delete-stack --stack-name ${name}`;
  const happened =
    status === 'DELETE_FAILED'
      ? 'its removal did not come to its end'
      : 'its creation failed, and CloudFormation takes no update of it';
  return `${name} is ${status}: ${happened}. Read why in its events, then ${remove}, and deploy again`;
}

const UPDATABLE = /^(CREATE|UPDATE|UPDATE_ROLLBACK|IMPORT|IMPORT_ROLLBACK)_COMPLETE$/;
const NEVER_CREATED = /^(CREATE_FAILED|ROLLBACK_COMPLETE|ROLLBACK_FAILED|ROLLBACK_IN_PROGRESS)$/;
const ROLLED_BACK_BY_HAND = /^(UPDATE|UPDATE_ROLLBACK|IMPORT_ROLLBACK)_FAILED$/;

function settingsFaults(stacks: readonly FoundStack[], { settings }: Wanted): string[] {
  const names = stackNames(settings.environment);
  // A stack that was never created has nothing to lose.
  const created = stacks.filter(({ status }) => !NEVER_CREATED.test(status));
  const [broker, service] = [names.broker, names.service].map((name) => created.find((stack) => stack.name === name));
  if (!broker) return [];
  try {
    const deployed = { broker: settingsOf(broker, settings), service: service && settingsOf(service, settings) };
    return transitionFaults(deployed, settings);
  } catch (error) {
    if (error instanceof SettingsError) return [...error.faults];
    throw error;
  }
}

/** @throws SettingsError where the template has no settings, or some that this version refuses */
function settingsOf({ name, template }: FoundStack, { environment }: Settings): Settings {
  const wayOut = `npx cdk deploy --all -c environment=${environment} deploys without comparing`;
  const parsed = DEPLOYED_TEMPLATE.safeParse(template);
  if (!parsed.success) {
    const missing = `${name}: expected the settings in its template's Metadata.${METADATA_KEY}, got none. ${wayOut}`;
    throw new SettingsError(environment, [missing]);
  }
  try {
    return settingsFor(environment, parsed.data.Metadata[METADATA_KEY].settings);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    const faults = error.faults.map((fault) => `${name}, as deployed: ${fault}. ${wayOut}`);
    throw new SettingsError(environment, faults);
  }
}
