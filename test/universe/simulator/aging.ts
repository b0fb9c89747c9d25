import { type Ports, stopTserver } from './actions.ts';
import { ageLateTables, hasLateTables } from './importing.ts';
import { isSplittingHeld, moveReplica, splitTablet } from './placement.ts';
import { ageRestorations } from './restorations.ts';
import { ageClones, ageSchedules } from './schedules.ts';
import { ageSnapshots } from './snapshots.ts';
import type { World } from './world.ts';

/** Applies the effects of time to the universe. Takes the lock only when there is something to do. */
export async function ageEverything(world: World, ports: Ports): Promise<void> {
  if (!hasWork(world)) return;
  await world.exclusively(async () => {
    ageSnapshots(world);
    ageLateTables(world);
    await ageRestorations(world, (uuid) => stopTserver(world, ports, uuid));
    await ageSchedules(world);
    await ageClones(world);
    balance(world);
    grow(world);
  });
}

function hasWork(world: World): boolean {
  const { snapshots, restorations, schedules, clones, balance, growth } = world.state;
  const now = world.now();
  return (
    snapshots.some(({ state, turnsAt, expiresAt }) => {
      if (state === 'CREATING' || state === 'DELETING') return turnsAt <= now;
      return state === 'COMPLETE' && expiresAt !== undefined && expiresAt <= now;
    }) ||
    restorations.some(({ state, end }) => state === 'RESTORING' && end !== 'never') ||
    hasLateTables(world) ||
    schedules.some(({ nextAt, deletedAt }) => nextAt <= now || deletedAt !== undefined) ||
    clones.some(({ state, turnsAt }) => state === 'RESTORING' && turnsAt <= now) ||
    (balance.everyMs > 0 && balance.nextAt <= now) ||
    (growth.everyMs > 0 && growth.nextAt <= now)
  );
}

/** Moves one replica at a time, like the load balancer, from one tablet to the next. */
function balance(world: World): void {
  const { balance: plan, tablets, loadBalancerEnabled } = world.state;
  if (plan.everyMs <= 0 || plan.nextAt > world.now()) return;
  plan.nextAt = world.now() + plan.everyMs;
  if (!loadBalancerEnabled) return;
  const running = tablets.filter(({ state }) => state === 'RUNNING');
  const turn = Math.floor(world.now() / plan.everyMs);
  const tablet = running[turn % Math.max(1, running.length)];
  if (tablet !== undefined) moveReplica(world, tablet, { copySnapshots: plan.copySnapshots });
}

function grow(world: World): void {
  const { growth, tablets } = world.state;
  if (growth.everyMs <= 0 || growth.nextAt > world.now()) return;
  growth.nextAt = world.now() + growth.everyMs;
  if (isSplittingHeld(world)) return;
  const running = tablets.filter(({ state, tableId }) => state === 'RUNNING' && !tableId.includes('parent'));
  const tablet = running[Math.floor(world.now() / growth.everyMs) % Math.max(1, running.length)];
  if (tablet !== undefined) splitTablet(world, tablet);
}
