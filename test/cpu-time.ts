// How much of the CPU something takes: other load on the machine, which stretches the clock, hardly changes it. A bound on it
// tells what grows with the square of its input from what does not; it is no goal.

/** The CPU time in ms that this process takes while `step` runs. */
export function cpuTimeOf(step: () => void): number {
  const from = process.cpuUsage()
  step()
  const { user, system } = process.cpuUsage(from)
  return Math.round((user + system) / 1000)
}
