// The CDK application. `npm run deploy -- -c environment=staging` deploys an environment with the defaults of lib/settings.ts,
// the `choices` below over them, and `-c settings='{"alarmEmail": "…"}'` over both. The only file that reads the context.
import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { environmentStacks } from '../lib/environment.ts';
import { merged, SettingsError } from '../lib/setting-values.ts';
import { type Choices, type Environment, settingsFor } from '../lib/settings.ts';
import { instanceOf } from '../lib/stack-identity.ts';

const choices: Readonly<Record<Environment, Choices>> = {
  staging: {},
  production: {},
};

const app = new App();
// Rules that a template must pass before it is written. Those of Control Tower need a binary, and run in the tests.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
const environment: unknown = app.node.tryGetContext('environment');
try {
  const given: unknown = app.node.tryGetContext('settings');
  const settings = settingsFor(environment, merged(choices[environment as Environment], given));
  environmentStacks(app, settings, instanceOf(app.node.tryGetContext('instance')));
} catch (error) {
  if (!(error instanceof SettingsError)) throw error;
  console.error(error.message);
  // At once: an application that ends by itself writes its assembly, even an empty one.
  process.exit(1);
}
