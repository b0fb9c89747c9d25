/** `node test/universe/engine/topologies-campaign.ts --count 300 --seed 1 [--from 120]`: a line for each random universe, then the sum. A campaign that was cut off goes on from the universe of that number. */
import { parseArgs } from 'node:util';
import { tryTopologies } from './topologies.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '300' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
  },
});
const ends = { restored: 0, refused: 0, 'no backup': 0 };
let failed = 0;
for await (const { line, end, problems } of tryTopologies(
  Number(values.seed),
  Number(values.count),
  Number(values.from),
)) {
  ends[end] += 1;
  failed += problems.length > 0 ? 1 : 0;
  process.stdout.write(
    `${problems.length === 0 ? 'ok  ' : 'FAIL'} ${line}\n${problems.map((one) => `     ${one}\n`).join('')}`,
  );
}
const total = ends.restored + ends.refused + ends['no backup'];
process.stdout.write(
  `${total} topologies of seed ${values.seed}: ${ends.restored} restored, ${ends.refused} refused, ${ends['no backup']} without a backup; ${failed} FAILED\n`,
);
process.exitCode = failed === 0 ? 0 : 1;
