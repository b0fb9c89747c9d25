import { readTraceHeader, traceHeader } from '../../model/trace.ts';

const CONTEXT = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
const bytes = (flags: string) =>
  new TextEncoder().encode(
    JSON.stringify({ traceparent: traceHeader(CONTEXT).traceparent.replace(/..$/, flags) }),
  );

/** https://www.w3.org/TR/trace-context-2/#trace-flags: bit 0 is "sampled", bit 1 is "the trace id is random". */
test.each([
  ['01', true],
  ['03', true],
  ['ff', true],
  ['00', false],
  ['02', false],
  ['10', false],
  ['0g', false],
])('a trace with the flags %s goes on: %s', (flags, goesOn) => {
  expect(readTraceHeader(bytes(flags))).toEqual(goesOn ? CONTEXT : undefined);
});
