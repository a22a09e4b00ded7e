import ArgumentParser
import Rendering
import Requests
import Sentences

/// An option, flag or group of options of a command, of any type. The property's name is the setting's key.
private protocol SettingOption {
    /// The user's words, one for each time.
    var words: [String] { get }
    /// The options of a group.
    var group: Any? { get }
}

extension SettingOption {
    var group: Any? { nil }
}

extension Option: SettingOption {
    fileprivate var words: [String] { OptionWords.words(wrappedValue) }
}

extension Flag: SettingOption {
    fileprivate var words: [String] { wrappedValue as? Bool == true ? ["true"] : [] }
}

extension OptionGroup: SettingOption {
    fileprivate var words: [String] { [] }
    fileprivate var group: Any? { wrappedValue }
}

/// Reads the properties of parsed options by reflection, as the parser does, so each is declared once.
enum OptionWords {
    /// The words of all settings among the options and their groups.
    static func of(_ options: any ParsableArguments) -> [(setting: Setting, word: String)] {
        Mirror(reflecting: options).children.flatMap { child -> [(setting: Setting, word: String)] in
            // A wrapped property is stored under its name with an underscore before it.
            guard let label = child.label, let option = child.value as? any SettingOption else { return [] }
            if let group = option.group as? any ParsableArguments { return of(group) }
            let setting = Setting(key(String(label.dropFirst())))
            return option.words.map { (setting, $0) }
        }
    }

    /// The name of a property as a key: `hiresUpscaler` is `hires_upscaler`.
    static func key(_ name: String) -> String {
        name.map { $0.isUppercase ? "_" + $0.lowercased() : String($0) }.joined()
    }

    fileprivate static func words(_ value: Any) -> [String] {
        switch value {
        case let list as [Any]: list.flatMap(words)
        // An optional counts as its value.
        case let word as any CustomStringConvertible: [word.description]
        default: []
        }
    }
}
