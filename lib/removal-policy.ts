// What happens to a resource that holds data when it leaves its stack. `settings.keepsData` decides, and nothing else.
import { RemovalPolicy } from 'aws-cdk-lib';
import type { Settings } from './settings.ts';

/**
 * Kept (`RetainExceptOnCreate`): on a deletion and on a replacement, but not when its first creation is rolled back.
 * Otherwise the next attempt would fail on the names that the first one left behind.
 */
export function removalPolicy(settings: Pick<Settings, 'keepsData'>): RemovalPolicy {
  return settings.keepsData ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY;
}
