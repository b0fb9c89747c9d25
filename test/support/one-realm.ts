/**
 * Jest runs tests in a realm of their own, so an error that Node's own modules throw is no `instanceof Error` there, as it is everywhere else.
 * This makes it one (https://github.com/jestjs/jest/issues/2549).
 */
const ordinary = Function.prototype[Symbol.hasInstance];

Object.defineProperty(Error, Symbol.hasInstance, {
  value(this: ErrorConstructor, candidate: unknown): boolean {
    return this === Error ? isError(candidate) : ordinary.call(this, candidate);
  },
});

function isError(candidate: unknown): boolean {
  return Object.prototype.toString.call(candidate) === '[object Error]';
}
