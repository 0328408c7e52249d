// The bot's token is rotated in Discord's portal, which ends every session. Tasks that have it from Secrets Manager read
// it again and go on by themselves; tasks that have it from a variable wait, say so, and ask nobody for anything until
// they are deployed anew. In neither case is Discord bothered with a token that it has refused: not three IDENTIFYs.

import { afterAll, beforeAll, expect } from 'vitest';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';
import { ENV } from '../../service/contract/names.ts';
import { disastersOn } from './disaster.ts';
import { health, lasting, ownerOf } from './tasks.ts';

const strikes = disastersOn({ tasks: 0, untilReady: false, shards: 4 });
const REFUSED = /token/;
let secrets: SecretsManager;

beforeAll(async () => {
  secrets = await startSecretsManager();
});
afterAll(async () => {
  await secrets.stop();
});

strikes('a rotated token is read again from Secrets Manager, and the lost sessions are told', {
  rate: 300,
  gapsExpected: true,
  mayBePunished: REFUSED,
  async prepare(stage) {
    const arn = secrets.put('bot-token', stage.simulator?.token);
    const env = { [ENV.discordBotToken]: '', [ENV.discordBotTokenSecretArn]: arn, ...secrets.environment };
    await stage.startTask(env);
    await stage.startTask(env);
    await stage.ready();
  },
  async happens(stage) {
    const { simulator } = stage;
    const owner = await ownerOf(stage);
    simulator?.rotateToken('another-token');
    await stage.until('the owner says what is wrong', 60_000, async () => {
      const { problems = [] } = (await health(owner)).checks.discord;
      return problems.some((problem) => /rejected the token/.test(problem) && /:secret:bot-token/.test(problem));
    });
    secrets.put('bot-token', 'another-token');
    await stage.ready();
    const { problems } = (await health(owner)).checks.discord;
    return { problems: problems?.join() ?? 'none', identifies: (simulator?.count('identify') ?? 0) - 4 };
  },
  bounds({ gaps, violations }, { problems, identifies }) {
    expect(gaps).toBe(4);
    expect(identifies).toBe(4);
    expect(problems).toBe('none');
    expect(violations.length, 'each shard noticed once at most').toBeLessThanOrEqual(4);
  },
});

strikes('a rejected token from a variable makes no loop: the tasks wait and say so until new ones are deployed', {
  rate: 300,
  gapsExpected: true,
  mayBePunished: REFUSED,
  async prepare(stage) {
    const before = stage.living;
    const task = await stage.startTask();
    for (const each of before) await each.terminate();
    await stage.until('it is the owner', 60_000, async () => (await task.health())?.role === 'owner');
    await stage.ready();
  },
  async happens(stage) {
    const { simulator } = stage;
    const owner = await ownerOf(stage);
    const punished = simulator?.violations.length ?? 0;
    const identified = simulator?.count('identify') ?? 0;
    const problems = async () => (await health(owner)).checks.discord.problems ?? [];
    simulator?.rotateToken('a-third-token');
    await stage.until('the task names the variable', 60_000, async () =>
      (await problems()).some((problem) => problem.includes(ENV.discordBotToken)),
    );
    // A turn or two of its looking for another token.
    await new Promise((resolve) => setTimeout(resolve, lasting(21, 11)));
    const asked = (simulator?.violations.length ?? 0) - punished;
    const identifies = (simulator?.count('identify') ?? 0) - identified;
    const problem = (await problems()).join();
    await stage.startTask();
    await owner.terminate();
    await stage.ready();
    return { asked, identifies, problem };
  },
  bounds({ gaps }, { asked, identifies, problem }) {
    expect(identifies, 'IDENTIFYs with a token that was refused').toBe(0);
    expect(Number(asked), 'each shard noticed once at most').toBeLessThanOrEqual(4);
    expect(problem).toMatch(/Discord rejected the token .*Put the bot's current token into DISCORD_BOT_TOKEN/);
    expect(gaps).toBe(4);
  },
});
