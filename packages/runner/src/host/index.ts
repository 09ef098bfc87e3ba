export { adoptLogs, keepLogs, logsOf } from './keep.ts'
export { lookAtHost, type HostLook } from './look.ts'
export { refusedHost, refuseOtherHosts, ruleText, tierOf, watchHost, type HostChange, type HostWatch } from './watch.ts'
