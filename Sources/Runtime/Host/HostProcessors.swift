internal import CSystem

/// The processors of this host that this process may use: those in the affinity mask of the thread that asks first, and no more
/// than the quota of a control group (v2). Both are read once.
public enum HostProcessors {
    /// Physical cores: processors that share a core count once. At least 1.
    public static let cores = limited(Int(csystem_available_cores()))
    /// Logical processors, at least 1.
    public static let processors = limited(Int(csystem_available_processors()))

    private static func limited(_ count: Int) -> Int { limited(count, quota: ControlGroup.current().processors) }

    /// - Parameter quota: whole processors of time; nil without a quota.
    static func limited(_ count: Int, quota: Int?) -> Int { max(1, min(count, quota ?? count)) }
}
