public import Sentences
public import StrictJSON

/// Settings that are declared in one table and travel as one object.
public protocol SettingGroup: Sendable, Equatable {
    /// With every setting as it is when nothing is said of it.
    init()

    /// All that there are, in the order of a picture's parameters.
    static var settings: [RequestSetting<Self>] { get }

    /// Whether the settings go together, each of which is possible. Throws `.invalidRequest`.
    func checkTogether() throws(RenderError)
}

extension SettingGroup {
    /// Whatever is possible goes together.
    public func checkTogether() throws(RenderError) {}

    /// Checks everything that needs no model. Throws `.invalidRequest`.
    public func validated() throws(RenderError) {
        for setting in Self.settings { try setting.check(self) }
        try checkTogether()
    }

    /// The members of all settings, absent where nothing is said.
    public var json: JSONValue {
        var object = JSONObject()
        for setting in Self.settings { setting.write(self, &object) }
        return .object(object)
    }

    /// nil for anything but what `json` writes, also for members that are not known.
    init?(json: JSONValue) {
        guard let object = json.objectValue, Self.unknownMember(of: object) == nil else { return nil }
        self.init()
        for setting in Self.settings where !setting.read(object, &self) { return nil }
    }

    /// The first member that no setting has.
    static func unknownMember(of object: JSONObject) -> String? {
        let known = Set(settings.flatMap(\.members))
        return object.keys.first { !known.contains($0) }
    }
}

/// One setting, declared once: its name, where it stands in the request's object and of what kind it is there, the word that a
/// user says it by, what is possible, which methods use it, and what a picture's parameters say of it.
public struct RequestSetting<Root: SettingGroup>: Sendable {
    /// nil for what no word of a user says: a group as a whole, a picture's pixels, a line of a picture's parameters.
    public let setting: Setting?
    /// The members of the object that are its own; none for a setting of a group, which reads and writes them all.
    var members: [String] = []
    /// What its member must be.
    var kind = ""
    /// Where it means something.
    public private(set) var use = SettingUse.always
    /// False for a member of another kind.
    var read: @Sendable (JSONObject, inout Root) -> Bool = { _, _ in true }
    var write: @Sendable (Root, inout JSONObject) -> Void = { _, _ in }
    private var take: @Sendable (String, inout Root) throws(RenderError) -> Void = { _, _ in }
    private var rule: @Sendable (Root) throws(RenderError) -> Void = { _ in }
    private var isSaid: @Sendable (Root) -> Bool = { _ in false }
    private var forget: @Sendable (inout Root) -> Void = { _ in }
    /// What a picture's parameters say of it: keys of A1111's web UI where it has one.
    private(set) var parameters: @Sendable (GenerationParameters) -> [(String, String)] = { _ in [] }

    fileprivate init(_ setting: Setting?) { self.setting = setting }
}

// MARK: - What is done with a setting

extension RequestSetting {
    /// Takes the value that a user's word means. A setting that may be said several times adds to what it has.
    ///
    /// - Throws: `.invalidRequest` for a word of another kind.
    public func take(_ word: String, into root: inout Root) throws(RenderError) { try take(word, &root) }

    /// Throws `.invalidRequest` for a value that is not possible.
    func check(_ root: Root) throws(RenderError) { try rule(root) }

    /// Whether it has another value than when nothing is said of it.
    public func isSet(in root: Root) -> Bool { isSaid(root) }

    /// Makes it what it is when nothing is said of it.
    public func clear(in root: inout Root) { forget(&root) }
}

// MARK: - Declaring

/// When a member that is not optional is written.
enum SettingPresence {
    case always
    /// Only where it is not as when nothing is said.
    case unlessDefault
    /// Always, and an object without it is refused.
    case required
}

extension RequestSetting {
    /// A setting that may be left open.
    ///
    /// - Parameter member: of the object, where it is not called as the setting is.
    init<Value>(
        _ setting: Setting?, member: String? = nil, _ path: any WritableKeyPath<Root, Value?> & Sendable,
        _ kind: SettingKind<Value>, _ range: SettingRange<Value>? = nil
    ) {
        self.init(
            setting, member, kind, range, isRequired: false, get: { $0[keyPath: path] },
            set: { $0[keyPath: path] = $1 })
        isSaid = { $0[keyPath: path] != nil }
        forget = { $0[keyPath: path] = nil }
    }

    /// A setting that always has a value.
    init<Value: Equatable>(
        _ setting: Setting?, member: String? = nil, _ path: any WritableKeyPath<Root, Value> & Sendable,
        _ kind: SettingKind<Value>, _ range: SettingRange<Value>? = nil, written presence: SettingPresence = .always
    ) {
        let usual = Root()[keyPath: path]
        self.init(
            setting, member, kind, range, isRequired: presence == .required,
            get: { presence == .unlessDefault && $0[keyPath: path] == usual ? nil : $0[keyPath: path] },
            set: { $0[keyPath: path] = $1 })
        isSaid = { $0[keyPath: path] != usual }
        forget = { $0[keyPath: path] = usual }
    }

    /// - Parameter get: nil for a member that is absent.
    private init<Value>(
        _ setting: Setting?, _ name: String?, _ kind: SettingKind<Value>, _ range: SettingRange<Value>?, isRequired: Bool,
        get: @escaping @Sendable (Root) -> Value?, set: @escaping @Sendable (inout Root, Value) -> Void
    ) {
        self.init(setting)
        let member = name ?? setting?.key ?? ""
        (members, self.kind) = ([member], kind.title)
        read = { object, root in
            guard let json = object[member] else { return !isRequired }
            guard let value = kind.read(json) else { return false }
            set(&root, value)
            return true
        }
        write = { root, object in object[member] = get(root).map(kind.write) }
        if let setting {
            take = { word, root throws(RenderError) in set(&root, try kind.value(word, of: setting)) }
        }
        if let range { rule = { root throws(RenderError) in try range.check(get(root)) } }
    }

    /// What a picture's parameters say beside its settings.
    static func parameters(_ pairs: @escaping @Sendable (GenerationParameters) -> [(String, String)]) -> RequestSetting {
        RequestSetting(nil).shown(pairs)
    }

    /// A word for what several members hold.
    static func word(
        _ setting: Setting, _ take: @escaping @Sendable (String, inout Root) throws(RenderError) -> Void
    ) -> RequestSetting { RequestSetting(setting).said(take) }

    /// A member of the object that is read elsewhere, and that no word says.
    static func member(_ name: String, _ write: @escaping @Sendable (Root) -> JSONValue?) -> RequestSetting {
        var setting = RequestSetting(nil)
        setting.members = [name]
        setting.write = { $1[name] = write($0) }
        return setting
    }

    /// The settings of a group, which is one member of the object, absent where `get` gives nil.
    ///
    /// - Parameter isChecked: whether it matters what the group's settings are.
    static func group<Group: SettingGroup>(
        _ member: String, _ kind: String, get: @escaping @Sendable (Root) -> Group?,
        set: @escaping @Sendable (inout Root, Group) -> Void,
        isChecked: @escaping @Sendable (Root) -> Bool = { _ in true }
    ) -> [RequestSetting] {
        var whole = RequestSetting(nil)
        (whole.members, whole.kind) = ([member], kind)
        whole.read = { object, root in
            guard let json = object[member] else { return true }
            guard let group = Group(json: json) else { return false }
            set(&root, group)
            return true
        }
        whole.write = { root, object in object[member] = get(root)?.json }
        whole.rule = { root throws(RenderError) in if isChecked(root) { try get(root)?.checkTogether() } }
        return Group.settings.map { inner in
            var setting = RequestSetting(inner.setting)
            (setting.use, setting.parameters) = (inner.use, inner.parameters)
            setting.take = { word, root throws(RenderError) in
                var group = get(root) ?? Group()
                try inner.take(word, &group)
                set(&root, group)
            }
            setting.rule = { root throws(RenderError) in
                if isChecked(root), let group = get(root) { try inner.check(group) }
            }
            setting.isSaid = { get($0).map(inner.isSaid) ?? false }
            setting.forget = { root in
                guard var group = get(root) else { return }
                inner.forget(&group)
                set(&root, group)
            }
            return setting
        } + [whole]
    }

    private func changed(_ change: (inout RequestSetting) -> Void) -> RequestSetting {
        var setting = self
        change(&setting)
        return setting
    }

    /// Another way to take a word.
    func said(_ take: @escaping @Sendable (String, inout Root) throws(RenderError) -> Void) -> RequestSetting {
        changed { $0.take = take }
    }

    /// One more rule for what is possible.
    func checked(_ check: @escaping @Sendable (Root) throws(RenderError) -> Void) -> RequestSetting {
        changed { setting in
            let before = rule
            setting.rule = { root throws(RenderError) in
                try before(root)
                try check(root)
            }
        }
    }

    /// Says where the setting means something.
    func used(_ use: SettingUse) -> RequestSetting { changed { $0.use = use } }

    /// Another rule for whether anything is said.
    func counts(if isSaid: @escaping @Sendable (Root) -> Bool) -> RequestSetting { changed { $0.isSaid = isSaid } }

    /// Says what a picture's parameters tell of the setting.
    func shown(_ pairs: @escaping @Sendable (GenerationParameters) -> [(String, String)]) -> RequestSetting {
        changed { $0.parameters = pairs }
    }

    /// The same for one key, which is left out where `value` is nil.
    func shown(_ key: String, _ value: @escaping @Sendable (GenerationParameters) -> String?) -> RequestSetting {
        shown { parameters in value(parameters).map { [(key, $0)] } ?? [] }
    }
}
