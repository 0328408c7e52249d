// What happens to a thing that holds data when its stack lets go of it. `settings.keepsData` decides, and nothing else.
import { RemovalPolicy } from 'aws-cdk-lib';
import type { Settings } from './settings.ts';

/**
 * Kept (`RetainExceptOnCreate`): on a deletion and on a replacement, but not when its first creation is rolled back.
 * Otherwise the next attempt would collide with the names of what the failed one left behind.
 */
export function removalPolicy(settings: Pick<Settings, 'keepsData'>): RemovalPolicy {
  return settings.keepsData ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY;
}
