public import Sentences
public import StrictJSON

/// Settings that one table declares. On the wire they are one object.
public protocol SettingGroup: Sendable, Equatable {
    /// Every setting has its default.
    init()

    /// The table, in the order of a picture's parameters.
    static var settings: [RequestSetting<Self>] { get }

    /// Checks that possible settings go together. Throws `.invalidRequest`.
    func checkTogether() throws(RenderError)
}

extension SettingGroup {
    /// Accepts all possible settings.
    public func checkTogether() throws(RenderError) {}

    /// Checks everything that needs no model. Throws `.invalidRequest`.
    public func validated() throws(RenderError) {
        for setting in Self.settings {
            try setting.validate(self)
        }
        try checkTogether()
    }

    /// The members of all settings. A setting without a value of its own may be absent.
    public var json: JSONValue {
        var object = JSONObject()
        for setting in Self.settings { setting.write(self, &object) }
        return .object(object)
    }

    /// Reads what `json` writes; nil for anything else, such as unknown members.
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

/// One setting, declared once: its name, its member in the request's JSON and that member's kind, its range, the methods that
/// use it, a user's word for it, and its text in a picture's parameters.
public struct RequestSetting<Root: SettingGroup>: Sendable {
    /// Its name; nil if users have no word for it: a whole group, a picture's pixels, a line of a picture's parameters.
    public let setting: Setting?
    /// Its own members of the object. A setting of a group has none: the group reads and writes them.
    var members: [String] = []
    /// The kind of its member, for "must be".
    var kind = ""
    /// The kind of requests in which it has an effect.
    public private(set) var use = SettingUse.always
    /// The fault of its member with a value of another kind. For a group it is the fault of one of the group's settings.
    private(set) var fault: @Sendable (JSONValue?) -> SettingFault? = { _ in nil }
    /// Reads its members of the object; false if a required one is missing, or if one is of another kind.
    var read: @Sendable (JSONObject, inout Root) -> Bool = { _, _ in true }
    var write: @Sendable (Root, inout JSONObject) -> Void = { _, _ in }
    /// The part of `take` that reads a word of this setting's kind.
    private var accept: @Sendable (String, inout Root) throws(RenderError) -> Void = { _, _ in }
    /// Throws `.invalidRequest` for an impossible value.
    private(set) var check: @Sendable (Root) throws(RenderError) -> Void = { _ in }
    /// Whether it has another value than its default.
    public private(set) var isSet: @Sendable (Root) -> Bool = { _ in false }
    /// Gives it its default.
    public private(set) var clear: @Sendable (inout Root) -> Void = { _ in }
    /// Its text in a picture's parameters, with the keys of A1111's web UI if it has one.
    private(set) var parameters: @Sendable (GenerationParameters) -> [(String, String)] = { _ in [] }

    /// A setting without a member.
    init(_ setting: Setting?) { self.setting = setting }

    /// Takes the value of a user's word; a setting with several values adds it. Throws `.invalidRequest` for a word of another
    /// kind.
    public func take(_ word: String, _ root: inout Root) throws(RenderError) {
        do throws(RenderError) { try accept(word, &root) } catch {
            throw error.about(setting.map { SettingFault($0, value: .string(word)) })
        }
    }

    /// Checks its value. The error is one of this setting.
    func validate(_ root: Root) throws(RenderError) {
        do throws(RenderError) { try check(root) } catch { throw error.about(setting.map { SettingFault($0) }) }
    }
}

// MARK: - Declaring

/// The rule for writing a member that is not optional.
enum SettingPresence {
    case always
    case unlessDefault
    /// Always. An object without it is refused.
    case required
}

extension RequestSetting {
    /// A setting that may be left open.
    ///
    /// - Parameter member: the member of the object if it has another name than the setting.
    init<Value>(
        _ setting: Setting?, member: String? = nil, _ path: any WritableKeyPath<Root, Value?> & Sendable,
        _ kind: SettingKind<Value>, _ range: SettingRange<Value>? = nil
    ) {
        self.init(
            setting, member, kind, range, isRequired: false, get: { $0[keyPath: path] },
            set: { $0[keyPath: path] = $1 })
        isSet = { $0[keyPath: path] != nil }
        clear = { $0[keyPath: path] = nil }
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
        isSet = { $0[keyPath: path] != usual }
        clear = { $0[keyPath: path] = usual }
    }

    /// - Parameter get: gives nil for an absent member.
    private init<Value>(
        _ setting: Setting?, _ name: String?, _ kind: SettingKind<Value>, _ range: SettingRange<Value>?, isRequired: Bool,
        get: @escaping @Sendable (Root) -> Value?, set: @escaping @Sendable (inout Root, Value) -> Void
    ) {
        self.init(setting)
        let member = name ?? setting?.key ?? ""
        (members, self.kind) = ([member], kind.title)
        // The words of a command line are no choices for a member of another kind.
        let strings = kind.choices?.filter { word in kind.parse(word).map(kind.write) == .string(word) }
        let possible = strings.flatMap { $0.isEmpty ? nil : PossibleValues.choices($0) }
        fault = { value in setting.map { SettingFault($0, value: value, possible: possible) } }
        read = { object, root in
            guard let json = object[member] else { return !isRequired }
            guard let value = kind.read(json) else { return false }
            set(&root, value)
            return true
        }
        write = { root, object in object[member] = get(root).map(kind.write) }
        if let setting {
            accept = { word, root throws(RenderError) in set(&root, try kind.value(word, of: setting)) }
        }
        guard let range else { return }
        check = { root throws(RenderError) in
            guard let value = get(root), !range.contains(value) else { return }
            throw RenderError.invalidRequest(Sentence(range.refusal(value)), aboutAll: []).about(
                setting.map { SettingFault($0, value: kind.write(value), possible: range.possible) })
        }
    }

    /// A member without a word. It is read elsewhere.
    static func member(_ name: String, _ write: @escaping @Sendable (Root) -> JSONValue?) -> RequestSetting {
        var setting = RequestSetting(nil)
        setting.members = [name]
        setting.write = { $1[name] = write($0) }
        return setting
    }

    /// The settings of a group. The group is one member of the object, absent if `get` gives nil.
    ///
    /// - Parameter isChecked: whether to check the group's settings.
    static func group<Group: SettingGroup>(
        _ member: String, get: @escaping @Sendable (Root) -> Group?,
        set: @escaping @Sendable (inout Root, Group) -> Void,
        isChecked: @escaping @Sendable (Root) -> Bool = { _ in true }
    ) -> [RequestSetting] {
        var whole = RequestSetting(nil)
        (whole.members, whole.kind) = (
            [member], Sentence("an object of \(Sentence.list(Group.settings.flatMap(\.members)))").spelled(\.key)
        )
        whole.read = { object, root in
            guard let json = object[member] else { return true }
            guard let group = Group(json: json) else { return false }
            set(&root, group)
            return true
        }
        whole.write = { root, object in object[member] = get(root)?.json }
        whole.fault = { value in
            guard let object = value?.objectValue else { return nil }
            var group = Group()
            let wrong = Group.settings.first { !$0.read(object, &group) }
            return wrong.flatMap { inner in inner.fault(inner.members.first.flatMap { object[$0] }) }
        }
        whole.check = { root throws(RenderError) in if isChecked(root) { try get(root)?.checkTogether() } }
        return Group.settings.map { inner in
            var setting = RequestSetting(inner.setting)
            (setting.use, setting.parameters) = (inner.use, inner.parameters)
            setting.accept = { word, root throws(RenderError) in
                var group = get(root) ?? Group()
                try inner.take(word, &group)
                set(&root, group)
            }
            setting.check = { root throws(RenderError) in
                if isChecked(root), let group = get(root) { try inner.check(group) }
            }
            setting.isSet = { get($0).map(inner.isSet) ?? false }
            setting.clear = { root in
                guard var group = get(root) else { return }
                inner.clear(&group)
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

    /// Replaces the way to take a word.
    func said(_ take: @escaping @Sendable (String, inout Root) throws(RenderError) -> Void) -> RequestSetting {
        changed { $0.accept = take }
    }

    /// Adds a check.
    func checked(_ check: @escaping @Sendable (Root) throws(RenderError) -> Void) -> RequestSetting {
        changed { setting in
            let before = self.check
            setting.check = { root throws(RenderError) in
                try before(root)
                try check(root)
            }
        }
    }

    /// Says where the setting has an effect.
    func used(_ use: SettingUse) -> RequestSetting { changed { $0.use = use } }

    /// Replaces the rule for whether the setting is set.
    func counts(if isSet: @escaping @Sendable (Root) -> Bool) -> RequestSetting { changed { $0.isSet = isSet } }

    /// Gives the setting's text in a picture's parameters.
    func shown(_ pairs: @escaping @Sendable (GenerationParameters) -> [(String, String)]) -> RequestSetting {
        changed { $0.parameters = pairs }
    }

    /// The same for one key. It is left out if `value` is nil.
    func shown(_ key: String, _ value: @escaping @Sendable (GenerationParameters) -> String?) -> RequestSetting {
        shown { parameters in value(parameters).map { [(key, $0)] } ?? [] }
    }
}
