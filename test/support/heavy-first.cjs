const { default: Sequencer } = require('@jest/test-sequencer');

/**
 * The files that take a minute or more come first, the longest at the head: begun last, one would run alone at the end. Jest knows durations only where it has
 * run before.
 */
const HEAVY = [
  'universe/engine/accounting',
  'crash/points',
  'e2e/demo',
  'universe/engine/cycle',
  'universe/engine/off-cluster-cycle',
  'crash/sample',
  'universe/engine/replace',
  'ysql/real-dumps',
  'packaging/release',
  'universe/engine/rigged',
  'e2e/doctor',
  'universe/neighbours',
  'universe/engine/in-cluster',
  'ysql/versions',
  'ycql/truth',
  'e2e/signing',
  'e2e/operations',
  'universe/engine/elsewhere',
  'ysql/archive/kills',
  'crash/ycql',
  'cli/contract',
  'universe/agent/agent',
];

/** @param {{ readonly path: string }} test */
function placeOf({ path }) {
  const place = HEAVY.findIndex((name) => path.endsWith(`/test/${name}.test.ts`));
  return place < 0 ? HEAVY.length : place;
}

module.exports = class HeavyFirst extends Sequencer {
  /**
   * @override
   * @param {Parameters<import('@jest/test-sequencer').default['sort']>[0]} tests
   */
  async sort(tests) {
    const usual = await super.sort(tests);
    return usual.toSorted((one, other) => placeOf(one) - placeOf(other));
  }
};
