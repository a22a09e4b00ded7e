import Glibc
import Sentences

/// Removes prefixes that programs put before all names, such as `state_dict.` or `module.`, and the step `_orig_mod.` of
/// torch's compiler.
///
/// All files of a component are examined together, because a network may be recognised in only one of them.
struct NameWrapper {
    let prefix: String
    /// The component of the files; nil for a complete checkpoint.
    private let component: String?

    private static let words = [
        "state_dict.", "model.", "module.", "vae.", CheckpointTraits.vaePrefix, "unet.", "text_encoder.", "text_encoder_2.",
    ]
    private static let maxWords = 4
    private static let compiled = "_orig_mod."

    /// - Parameter component: nil for a complete checkpoint.
    /// - Throws: `.malformed` for parts of one network with different prefixes.
    init(_ files: [SafetensorsFile], _ component: String?) throws(WeightsError) {
        self.component = component
        let found = NameWrapper.prefixes(of: files, NameWrapper.beginnings(component)).sorted { $0.key < $1.key }
        if found.count > 1 {
            let (one, other) = (found[0].value, found[1].value)
            let place = one.file == other.file ? "" : "\(other.file) "
            throw .malformed(
                "\(one.file) holds \(quoted(one.name)), and \(place)\(quoted(other.name)) as well: parts of one network with "
                    + "different words before their names; remove the wrong ones.")
        }
        prefix = found.first?.key ?? ""
    }

    /// Beginnings of names in files of a component, and in complete checkpoints.
    private static func beginnings(_ component: String?) -> [String] {
        switch component {
        case "unet": ["down_blocks.", "conv_in."]
        case "vae": ["decoder."]
        case "text_encoder", "text_encoder_2": ["text_model.", "encoder.layers."]
        default: [CheckpointTraits.unetPrefix]
        }
    }

    /// The prefixes of the component's names, each with its first name and file; none if any name has no prefix. Empty tensors
    /// do not count.
    private static func prefixes(
        of files: [SafetensorsFile], _ beginnings: [String]
    ) -> [String: (name: String, file: String)] {
        func begins(_ name: Substring) -> Bool { beginnings.contains { name.utf8.starts(with: $0.utf8) } }
        var found: [String: (name: String, file: String)] = [:]
        for file in files {
            for (key, stored) in file.tensors where stored.count > 0 {
                let name = withoutCompiled(key)
                // A constant of training is not a part of a network.
                if ComponentNames.isHarmless(name) { continue }
                var rest = name[...]
                if begins(rest) { return [:] }
                for _ in 0..<maxWords {
                    guard let word = words.first(where: { rest.utf8.starts(with: $0.utf8) }) else { break }
                    rest = rest.dropFirst(word.count)
                    guard begins(rest) else { continue }
                    let part = (name: file.nameInFile(key), file: file.name)
                    let prefix = String(name[..<rest.startIndex])
                    found[prefix] = [found[prefix] ?? part, part].min { $0 < $1 }
                    break
                }
            }
        }
        return found
    }

    /// A name without the steps of torch's compiler.
    static func withoutCompiled(_ name: String) -> String {
        guard strstr(name, compiled) != nil else { return name }
        let steps = name.split(separator: ".", omittingEmptySubsequences: false)
        return steps.enumerated().filter { $0.offset == steps.count - 1 || $0.element != "_orig_mod" }.map(\.element)
            .joined(separator: ".")
    }

    /// A name without prefix and compiler's steps.
    func inner(_ key: String) -> String {
        let name = NameWrapper.withoutCompiled(key)
        return prefix.isEmpty ? name : name.dropping(prefix) ?? name
    }

    /// Whether a name of the files lies inside the component's network, or inside any network of a checkpoint.
    func isInside(_ key: String) -> Bool {
        let name = inner(key)
        return component.map { ComponentNames.isInside(name, $0) } ?? Checkpoint.isPart(name)
    }

    /// The file with its tensors under their inner names. A name outside networks stays as it is if its inner name is taken.
    ///
    /// - Throws: `.malformed` for a part of a network with the prefix and without.
    func unwrap(_ file: SafetensorsFile) throws(WeightsError) -> SafetensorsFile {
        var changed: [String: String] = [:]
        var targets: Set<String> = []
        for key in file.tensors.keys {
            let name = inner(key)
            guard name != key else { continue }
            guard file.tensors[name] == nil, !targets.contains(name) else {
                guard isInside(key) else { continue }
                throw .malformed("\(file.name) holds \(quoted(name)) twice, once as \(quoted(key)); remove one.")
            }
            targets.insert(name)
            changed[key] = name
        }
        return changed.isEmpty ? file : SafetensorsFile(file) { changed[$0] ?? $0 }
    }
}

extension SafetensorsFile {
    /// The file of a component, or of a complete checkpoint (nil), without prefixes in its names. Throws as `unwrap` does.
    func unwrapped(_ component: String?) throws(WeightsError) -> SafetensorsFile {
        try NameWrapper([self], component).unwrap(self)
    }
}
