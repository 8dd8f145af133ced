//! Every text of the pages, in both languages, side by side: a text without its translation does not compile, one that is
//! empty, copied, or has other places for values fails a test. `{0}`, `{1}` are places for values ([`fill`]); the pages
//! escape what is filled in. Jargon is kept out by a test over the rendered pages (`interfaces.md` section 3).

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lang {
    /// English.
    En,
    /// Spanish.
    Es,
}

impl Lang {
    /// Both, the one without a folder of its own first.
    pub const ALL: [Self; 2] = [Self::En, Self::Es];

    /// BCP 47 tag.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en-US",
            Self::Es => "es-US",
        }
    }

    /// Folder of its pages below the register.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::En => "",
            Self::Es => "es/",
        }
    }

    /// The other one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::En => Self::Es,
            Self::Es => Self::En,
        }
    }

    /// Its texts.
    pub(crate) const fn words(self) -> &'static Words {
        match self {
            Self::En => &EN,
            Self::Es => &ES,
        }
    }
}

/// `text` with `{0}`, `{1}`, .. replaced. What is filled in is not looked at again.
pub(crate) fn fill(text: &str, values: &[&str]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((place, behind)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        filled.push_str(place.parse::<usize>().ok().and_then(|place| values.get(place)).copied().unwrap_or_default());
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

macro_rules! words {
    ($($key:ident: $en:literal, $es:literal;)*) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub(crate) struct Words { $(pub(crate) $key: &'static str,)* }

        pub(crate) static EN: Words = Words { $($key: $en,)* };
        pub(crate) static ES: Words = Words { $($key: $es,)* };

        /// Key, English, Spanish.
        #[cfg(test)]
        const TABLE: &[(&str, &str, &str)] = &[$((stringify!($key), $en, $es),)*];
    };
}

pub(crate) use words as word_table;

words! {
    // ---- every page
    site: "Public register of plate searches", "Registro público de búsquedas de placas";
    skip: "Skip to the content", "Ir al contenido";
    menu: "Pages of the register", "Páginas del registro";
    nav_overview: "Overview", "Resumen";
    nav_entries: "Entries", "Entradas";
    nav_reports: "Monthly reports", "Informes mensuales";
    nav_changes: "Changes", "Cambios";
    nav_how: "How it works", "Cómo funciona";
    other_language: "Español", "English";
    made: "Made on {0} from the public records of {1} parties. Nothing here can be edited.",
        "Hecho el {0} con los registros públicos de {1} partes. Nada de esto se puede editar.";
    footer_data: "The same data as files", "Los mismos datos en archivos";
    footer_csv: "Table (CSV)", "Tabla (CSV)";
    footer_json: "For programs (JSON)", "Para programas (JSON)";
    footer_feed: "Feed of new entries (Atom)", "Canal de entradas nuevas (Atom)";
    unknown: "not known", "no se sabe";
    utc: "UTC", "UTC";
    page_of: "Page {0} of {1}", "Página {0} de {1}";
    newer: "Newer", "Más nuevas";
    older: "Older", "Más antiguas";
    page_links: "More pages of this list", "Más páginas de esta lista";
    and: "and", "y";

    // ---- custody
    label_loud: "One party can open everything", "Una sola parte puede abrir todo";
    label_text: "One legal body holds enough keys here to open every read that is still kept, without asking anybody. The rules on this page do not stop it.",
        "Aquí una sola entidad tiene llaves suficientes para abrir todas las lecturas que aún se guardan, sin pedir permiso a nadie. Las reglas de esta página no la detienen.";
    label_none: "No single party can open a read. {0} of {1} keepers must say yes, and they belong to {2} legal bodies.",
        "Nadie puede abrir una lectura sin los demás. Deben decir que sí {0} de los {1} guardianes, y son de {2} entidades distintas.";

    // ---- trouble with a register
    trouble_title: "Not everything could be checked", "No todo se pudo comprobar";
    trouble_unavailable: "The records of {0} could not be reached. They were last checked on {1}. What came after that is missing here.",
        "No se pudo llegar a los registros de {0}. La última comprobación fue el {1}. Aquí falta lo que vino después.";
    trouble_never: "The records of {0} have never been reached. What they say is missing here.",
        "Nunca se pudo llegar a los registros de {0}. Aquí falta lo que dicen.";
    trouble_stale: "Nobody has confirmed the records of {0} since {1}.",
        "Nadie ha confirmado los registros de {0} desde el {1}.";
    trouble_stale_never: "No confirmation of the records of {0} is known here.",
        "Aquí no se conoce ninguna confirmación de los registros de {0}.";
    trouble_lied: "The records of {0} contradict themselves or were changed. The proof is kept. Do not rely on them after {1}.",
        "Los registros de {0} se contradicen o fueron cambiados. La prueba está guardada. No confíe en ellos después del {1}.";
    trouble_lied_never: "The records of {0} contradict themselves or were changed. The proof is kept. No confirmation of them is known here. Do not rely on them.",
        "Los registros de {0} se contradicen o fueron cambiados. La prueba está guardada. Aquí no se conoce ninguna confirmación. No confíe en ellos.";
    trouble_alarm: "A check of the records found something wrong:", "Al comprobar los registros se encontró algo que está mal:";
    alarm_once: "once", "una vez";
    alarm_times: "{0} times", "{0} veces";

    // ---- overview
    overview_title: "Who searches the plates that {0} reads?", "¿Quién busca las placas que lee {0}?";
    overview_lead: "Cameras read the plates of passing cars. Each read is locked as it comes in. Nobody can look at the reads alone or unseen. Every request is written here first, whether it is granted or refused.",
        "Las cámaras leen las placas de los autos que pasan. Cada lectura se cierra con llave al llegar. Nadie puede verlas a solas ni a escondidas. Cada solicitud se anota aquí primero, se conceda o se niegue.";
    facts: "The main facts", "Los datos principales";
    fact_cameras: "Cameras", "Cámaras";
    fact_cameras_since: "since {0}", "desde el {0}";
    fact_cameras_unknown: "no number on record", "sin número en el registro";
    fact_kept: "Reads are kept", "Las lecturas se guardan";
    fact_kept_text: "then the keys are destroyed", "luego se destruyen las llaves";
    fact_searches: "Requests in {0}", "Solicitudes en {0}";
    fact_granted: "{0} granted", "{0} concedidas";
    fact_granted_one: "1 granted", "1 concedida";
    fact_refused: "{0} refused", "{0} negadas";
    fact_refused_one: "1 refused", "1 negada";
    fact_waiting: "{0} waiting", "{0} en espera";
    fact_emergencies: "Emergencies in {0}", "Emergencias en {0}";
    fact_papers: "{0} without their paper in time", "{0} sin su documento a tiempo";
    fact_papers_one: "1 without its paper in time", "1 sin su documento a tiempo";
    fact_keepers: "Keepers of the keys", "Guardianes de las llaves";
    fact_keepers_of: "{0} of {1}", "{0} de {1}";
    fact_keepers_text: "must say yes before a read is opened", "deben decir que sí antes de abrir una lectura";
    fact_keepers_one_party: "one legal body alone holds enough of the keys", "una sola entidad tiene llaves suficientes";
    fact_selftest: "Last self-test", "Última prueba automática";
    selftest_found: "passed: {0} keepers answered", "superada: respondieron {0} guardianes";
    selftest_found_one: "passed: 1 keeper answered", "superada: respondió 1 guardián";
    selftest_missed: "failed: the test read was not found", "fallida: no se halló la lectura de prueba";
    selftest_error: "failed: the test could not be finished", "fallida: la prueba no se pudo terminar";
    selftest_none: "none on record", "ninguna en el registro";
    days: "{0} days", "{0} días";
    day_one: "1 day", "1 día";
    hours: "{0} hours", "{0} horas";
    hour_one: "1 hour", "1 hora";
    minutes: "{0} minutes", "{0} minutos";
    minute_one: "1 minute", "1 minuto";
    seconds: "{0} seconds", "{0} segundos";
    second_one: "1 second", "1 segundo";
    years: "{0} years", "{0} años";
    year_one: "1 year", "1 año";
    periods: "{0} periods", "{0} períodos";
    period_one: "1 period", "1 período";
    who_title: "Who asked in {0}", "Quién preguntó en {0}";
    who_none: "Nobody asked.", "Nadie preguntó.";
    latest_title: "Latest entries", "Últimas entradas";
    latest_all: "All {0} entries", "Las {0} entradas";
    latest_all_one: "The only entry", "La única entrada";
    latest_none: "There is no entry yet.", "Todavía no hay entradas.";
    keepers_title: "Who holds the keys", "Quién guarda las llaves";
    keepers_text: "A keeper is an office that holds one part of each key. {0} of {1} must answer before a read can be opened.",
        "Un guardián es una oficina que tiene una parte de cada llave. Deben responder {0} de {1} antes de abrir una lectura.";
    keeper_of: "Part of {0}", "Parte de {0}";
    fresh_title: "How fresh is this, and who says so", "Qué tan reciente es, y quién lo dice";
    fresh_text: "Each party keeps a public record that nobody can change later without being caught. Others confirm it: they sign that it only ever grows.",
        "Cada parte lleva un registro público. Nadie puede cambiarlo después sin ser descubierto. Otros lo confirman: firman que solo crece.";
    fresh_entries: "Entries", "Entradas";
    fresh_confirmed: "Last confirmed", "Última confirmación";
    fresh_by: "Confirmed by", "Confirmado por";
    fresh_self: "nobody else", "nadie más";
    fresh_never: "never", "nunca";
    party_recorder: "{0}: cameras and reads", "{0}: cámaras y lecturas";
    party_desk: "{0}: searches by its officers", "{0}: búsquedas de sus agentes";
    party_keeper: "{0}, keeper {1}", "{0}, guardián {1}";
    chart_months: "Requests by month", "Solicitudes por mes";

    // ---- figures
    col_agency: "Agency", "Agencia";
    col_requests: "Requests", "Solicitudes";
    col_granted: "Granted", "Concedidas";
    col_refused: "Refused", "Negadas";
    col_waiting: "Waiting", "En espera";
    col_purpose: "Purpose", "Motivo";
    col_rule: "Rule", "Regla";
    col_month: "Month", "Mes";
    col_officer: "Officer", "Agente";
    col_what: "What", "Qué";
    col_number: "Number", "Número";
    col_class: "Kind of entry", "Tipo de entrada";
    col_accepted: "Loaded", "Cargadas";
    col_dropped: "Left out", "Descartadas";
    col_received: "Received", "Recibidas";
    row_rest: "{0} others", "{0} más";
    row_rest_one: "1 other", "1 más";

    // ---- state of an entry
    state_granted: "Granted", "Concedida";
    state_refused: "Refused", "Negada";
    state_waiting: "Waiting", "En espera";
    emergency: "Emergency", "Emergencia";

    // ---- list of entries
    entries_title: "All requests", "Todas las solicitudes";
    entries_lead: "Every request that reached a keeper, newest first. No plate and no officer's name is ever here.",
        "Cada solicitud que llegó a un guardián, primero las más nuevas. Aquí nunca hay una placa ni el nombre de un agente.";
    entries_count: "{0} entries", "{0} entradas";
    entries_count_one: "1 entry", "1 entrada";
    filter_title: "Show only some", "Mostrar solo algunas";
    filter_agency: "By agency", "Por agencia";
    filter_purpose: "By purpose", "Por motivo";
    filter_decision: "By decision", "Por decisión";
    filter_month: "By month", "Por mes";
    filter_rule: "By rule", "Por regla";
    filter_only: "Only: {0}", "Solo: {0}";
    filter_all: "Show all entries", "Mostrar todas las entradas";
    row_asked: "{0}: {1}", "{0}: {1}";
    row_days_one: "1 day of reads", "lecturas de 1 día";
    row_days: "{0} days of reads", "lecturas de {0} días";

    // ---- one entry
    entry_title: "{0} asked about one plate", "{0} preguntó por una placa";
    entry_title_hold: "{0} asked to keep reads as evidence", "{0} pidió guardar lecturas como prueba";
    entry_title_own: "A car's owner asked about the own car", "El dueño de un auto preguntó por su propio auto";
    entry_number: "Entry {0}", "Entrada {0}";
    entry_story: "On {0}, an officer of {1} asked {2} for the reads of one plate over {3}.",
        "El {0}, un agente de {1} pidió a {2} las lecturas de una placa durante {3}.";
    entry_behalf: "The request was made for {0}.", "La solicitud se hizo para {0}.";
    entry_granted: "{0} of {1} keepers said yes. {2} had to.", "Dijeron que sí {0} de {1} guardianes. Hacían falta {2}.";
    entry_refused: "It was refused. No read was opened.", "Fue negada. No se abrió ninguna lectura.";
    entry_waiting: "It waits for a person at a keeper. No read was opened yet.",
        "Espera a una persona en un guardián. Aún no se abrió ninguna lectura.";
    entry_why: "Why", "Por qué";
    entry_purpose: "Purpose", "Motivo";
    entry_basis: "Legal basis", "Base legal";
    entry_paper: "Court paper", "Documento del tribunal";
    entry_officer: "Officer", "Agente";
    entry_officer_text: "{0} (a made-up name that changes each year; the real one is private)",
        "{0} (un nombre inventado que cambia cada año; el real es privado)";
    entry_spellings: "Spellings of the plate asked for", "Formas de escribir la placa que se pidieron";
    entry_span: "Time asked for", "Tiempo pedido";
    entry_span_hours: "{0} of reads could be opened, {1} could not", "era posible abrir {0} de lecturas, {1} no";
    entry_keepers: "What each keeper decided", "Qué decidió cada guardián";
    entry_silent: "Nothing on record", "Nada en su registro";
    entry_silent_unreached: "Its record could not be reached", "No se pudo llegar a su registro";
    decision_allow: "Yes, by the rules", "Sí, según las reglas";
    decision_ask: "The rules allow it; a person is asked", "Las reglas lo permiten; se pregunta a una persona";
    decision_answered: "Helped to open {0} of reads", "Ayudó a abrir {0} de lecturas";
    decision_deny: "No, by the rules", "No, según las reglas";
    decision_approve: "Yes, by a person", "Sí, de una persona";
    decision_refuse: "No, by a person", "No, de una persona";
    reason_paper_unclear: "the paper is not clear", "el documento no es claro";
    reason_wrong_plate: "the paper names another plate", "el documento nombra otra placa";
    reason_out_of_scope: "the paper does not allow this", "el documento no permite esto";
    reason_doubt: "there is doubt", "hay dudas";
    reason_other: "another reason", "otra razón";
    entry_rules: "The rules that applied", "Las reglas que se aplicaron";
    entry_rules_refused: "The rules that refused it", "Las reglas que la negaron";
    rule_cite: "Law:", "Ley:";
    rule_fix: "What would make it lawful:", "Qué la haría legal:";
    rule_unknown: "This page has no words for this rule. Its name is in the files.",
        "Esta página no tiene un texto para esta regla. Su nombre está en los archivos.";
    rule_english: "", "Los textos de las reglas están solo en inglés.";
    not_advice: "Not legal advice.", "Esto no es asesoría legal.";
    rules_of_today: "These words are from the rules that this page knows. The request was decided under other rules with the same names.",
        "Estos textos son de las reglas que conoce esta página. La solicitud se decidió con otras reglas de los mismos nombres.";
    entry_opened: "What was opened", "Qué se abrió";
    opened_nothing: "Nothing. No keeper answered.", "Nada. Ningún guardián respondió.";
    opened_answers: "Keepers answered for {0} of reads.", "Los guardianes respondieron por {0} de lecturas.";
    opened_found: "{0} opened {1}. {2}", "{0} abrió {1}. {2}";
    reads: "{0} reads", "{0} lecturas";
    read_one: "1 read", "1 lectura";
    opened_others: "Of these, {0} were not of the plate asked for.", "De ellas, {0} no eran de la placa pedida.";
    opened_others_one: "Of these, 1 was not of the plate asked for.", "De ellas, 1 no era de la placa pedida.";
    opened_right: "It was of the plate asked for.", "Era de la placa pedida.";
    opened_wrong: "It was not of the plate asked for.", "No era de la placa pedida.";
    opened_none: "{0} found no read of the plate.", "{0} no halló ninguna lectura de la placa.";
    opened_failed: "{0} could not finish the search.", "{0} no pudo terminar la búsqueda.";
    opened_missing: "The agency that asked has not yet said what it opened. It has a day to do so.",
        "La agencia que preguntó aún no ha dicho qué abrió. Tiene un día para hacerlo.";
    entry_duties: "Duties that came with the yes", "Deberes que vinieron con el sí";
    duty_retain: "Keep opened reads at most {0}, unless a case needs them.",
        "Guardar las lecturas abiertas {0} como máximo, salvo que un caso las necesite.";
    duty_people: "{0} people at keepers must say yes too.", "También deben decir que sí {0} personas en los guardianes.";
    duty_person: "One person at a keeper must say yes too.", "También debe decir que sí una persona en un guardián.";
    duty_look: "A person compares plate and car before anybody acts.", "Una persona compara la placa y el auto antes de actuar.";
    paper_title: "Paper for the emergency", "Documento de la emergencia";
    paper_due: "Due by {0}.", "Plazo: el {0}.";
    paper_filed: "Filed. It was due by {0}.", "Entregado. El plazo era el {0}.";
    paper_overdue: "Overdue. It was due by {0}.", "Vencido. El plazo era el {0}.";
    entry_private: "What stays private", "Qué queda privado";
    private_always: "The plate, the officer's name and the case number are never shown to the public. A court and the auditors can see them.",
        "La placa, el nombre del agente y el número del caso nunca se muestran al público. Un tribunal y los auditores pueden verlos.";
    private_until: "The exact dates that were asked for stay closed until {0}.",
        "Las fechas exactas que se pidieron quedan cerradas hasta el {0}.";
    private_open: "The exact dates that were asked for are open since {0}. Ask a keeper for them.",
        "Las fechas exactas que se pidieron están abiertas desde el {0}. Pídalas a un guardián.";
    private_kept: "All that is private is erased after {0}.", "Todo lo privado se borra después de {0}.";
    entry_check: "Check it yourself", "Compruébelo usted";
    check_text: "You need not trust this page. Each line above is one line in the public record of a keeper. Its receipt proves that.",
        "No tiene que confiar en esta página. Cada línea de arriba es una línea en el registro público de un guardián. Su recibo lo prueba.";
    check_receipt: "Receipt of number {0}, {1}", "Recibo del número {0}, {1}";
    check_run: "This command fetches all records from a keeper, not from the police, and checks them:",
        "Esta orden pide todos los registros a un guardián, no a la policía, y los comprueba:";
    check_fingerprint: "The full number of this entry is", "El número completo de esta entrada es";
    check_proves: "The check proves that the line was there when others confirmed the record, and that nobody has changed it since.",
        "La comprobación prueba que la línea estaba allí cuando otros confirmaron el registro, y que nadie la ha cambiado desde entonces.";
    check_not: "It does not prove that what the line says is true, or that nothing was done without a line.",
        "No prueba que sea verdad lo que dice la línea, ni que nada se haya hecho sin una línea.";
    line_of: "Line {0}", "Línea {0}";

    // ---- changes
    changes_title: "What changed", "Qué cambió";
    changes_lead: "Rules, keepers, keys, cameras and hot lists: each change is on record before it counts.",
        "Reglas, guardianes, llaves, cámaras y listas de alerta: cada cambio se anota antes de que valga.";
    changes_none: "Nothing has changed yet.", "Todavía no ha cambiado nada.";
    change_by: "Record of {0}, line {1}", "Registro de {0}, línea {1}";
    change_effective: "It counts from {0}.", "Vale desde el {0}.";
    change_charter: "Founding file: {0} of {1} keepers must agree.",
        "Acta de fundación: deben estar de acuerdo {0} de {1} guardianes.";
    change_charter_label: "From then on one party can open everything.", "Desde entonces una sola parte puede abrir todo.";
    change_policy_equal: "Rules rewritten; they allow the same.", "Reglas reescritas; permiten lo mismo.";
    change_policy_narrower: "Stricter rules; they allow less.", "Reglas más estrictas; permiten menos.";
    change_policy_looser: "Looser rules; they allow more.", "Reglas más amplias; permiten más.";
    change_policy_first: "The first rules.", "Las primeras reglas.";
    change_key_enrol: "New key: {0}.", "Llave nueva: {0}.";
    change_key_replace: "Key replaced: {0}.", "Llave cambiada: {0}.";
    change_key_revoke: "Key taken back: {0}.", "Llave retirada: {0}.";
    subject_court: "a court", "un tribunal";
    subject_custodian: "a records officer", "una persona encargada de archivos";
    subject_supervisor: "a supervisor", "una persona supervisora";
    subject_officer: "an officer", "un agente";
    subject_agency: "an agency", "una agencia";
    subject_steward: "a person who keeps hot lists", "una persona que lleva listas de alerta";
    subject_keeper: "a keeper", "un guardián";
    subject_recorder: "a camera recorder", "una grabadora de cámaras";
    subject_auditor: "an auditor", "un auditor";
    subject_witness: "a body that confirms records", "una entidad que confirma registros";
    change_camera_add: "A camera was added. {0}", "Se añadió una cámara. {0}";
    change_camera_change: "A camera was changed. {0}", "Se cambió una cámara. {0}";
    change_camera_remove: "A camera was removed. {0}", "Se quitó una cámara. {0}";
    change_camera_pause: "A camera was paused. {0}", "Se puso en pausa una cámara. {0}";
    cameras_now: "There are {0}.", "Hay {0}.";
    cameras_now_one: "There is 1.", "Hay 1.";
    change_resumed: "A record went on without asking: {0}.", "Un registro siguió sin preguntar a: {0}.";
    change_declaration_file: "{0} filed its written promise {1}.", "{0} entregó su promesa escrita {1}.";
    change_declaration_withdraw: "The written promise {1} of {0} ended.", "Terminó la promesa escrita {1} de {0}.";

    // ---- reports
    reports_title: "Monthly reports", "Informes mensuales";
    reports_lead: "One report a month, made from the public records alone. The month is counted in UTC.",
        "Un informe por mes, hecho solo con los registros públicos. El mes se cuenta en UTC.";
    reports_none: "There is no full report yet.", "Todavía no hay ningún informe.";
    report_title: "Report for {0}", "Informe de {0}";
    report_running: "This month is not over. The numbers will change.", "Este mes no ha terminado. Los números cambiarán.";
    report_json: "This report for programs (JSON)", "Este informe para programas (JSON)";
    report_summary: "In short", "En breve";
    report_decisions: "Requests and decisions", "Solicitudes y decisiones";
    report_agencies: "By agency", "Por agencia";
    report_behalf: "Asked for another agency", "Pedido para otra agencia";
    report_purposes: "By purpose", "Por motivo";
    report_rules: "By rule that decided", "Por regla que decidió";
    report_officers: "By officer", "Por agente";
    report_officers_text: "Officers are shown by made-up names that change each year. The {0} with most requests are shown.",
        "Los agentes figuran con nombres inventados que cambian cada año. Se muestran los {0} con más solicitudes.";
    report_hotlists: "Hot lists", "Listas de alerta";
    report_hotlists_text: "All files of the time together. Of a file with the whole list all its entries count, of a file with changes the new ones.",
        "Todos los archivos del período juntos. De un archivo con la lista entera cuentan todas sus entradas; de uno con cambios, las nuevas.";
    report_alerts: "Alerts", "Alertas";
    report_oversight: "Tests and checks", "Pruebas y controles";
    report_reads: "Reads and keys", "Lecturas y llaves";
    report_chart_of: "Chart: {0}. The same figures are in the table.", "Gráfico: {0}. Las mismas cifras están en la tabla.";
    report_nothing: "Nothing in this month.", "Nada en este mes.";
    report_not_here: "What is not here: how often one plate was asked for. The records do not hold that.",
        "Lo que no está aquí: cuántas veces se preguntó por una misma placa. Los registros no lo guardan.";
    sum_granted: "Granted", "Concedidas";
    sum_refused: "Refused", "Negadas";
    sum_waiting: "Waiting", "En espera";
    sum_emergencies: "Emergencies", "Emergencias";
    sum_emergencies_granted: "Emergencies granted", "Emergencias concedidas";
    sum_judicial: "Requests with a judge's paper", "Solicitudes con un documento de un juez";
    sum_night: "Requests between 10 p.m. and 6 a.m. (clock {0})", "Solicitudes entre las 10 p. m. y las 6 a. m. (reloj {0})";
    sum_officers: "Officers who asked", "Agentes que preguntaron";
    sum_disclosed: "Granted requests with a word on what was opened", "Solicitudes concedidas que dicen qué se abrió";
    sum_undisclosed: "Granted requests without that word yet", "Solicitudes concedidas que aún no lo dicen";
    sum_opened: "Reads opened", "Lecturas abiertas";
    sum_held: "Reads kept as evidence", "Lecturas guardadas como prueba";
    sum_papers_late: "Papers of emergencies filed late", "Documentos de emergencias entregados tarde";
    sum_papers_overdue: "Papers of emergencies overdue", "Documentos de emergencias vencidos";
    sum_alerts: "Alerts raised", "Alertas emitidas";
    sum_alerts_handed: "Of these, on other agencies' lists, for them to look at",
        "De ellas, por listas de otras agencias, que las atienden";
    sum_alerts_taken: "From other agencies' cameras, on a list of this one",
        "De cámaras de otras agencias, por una lista de esta";
    sum_alerts_looked: "Alerts that an officer looked at", "Alertas que un agente revisó";
    sum_alerts_expired: "Alerts that nobody looked at in time", "Alertas que nadie revisó a tiempo";
    sum_alerts_verified: "Alerts that were confirmed", "Alertas confirmadas";
    sum_alerts_closed: "Alerts closed", "Alertas cerradas";
    sum_misread: "Of the closed: the plate was misread", "De las cerradas: la placa se leyó mal";
    sum_wrong_state: "Of the closed: a plate of another state", "De las cerradas: una placa de otro estado";
    sum_stale_entry: "Of the closed: the list was out of date", "De las cerradas: la lista no estaba al día";
    sum_stopped: "Cars stopped", "Autos detenidos";
    sum_stopped_wrongly: "Of these, on a wrong alert", "De ellos, por una alerta equivocada";
    sum_alerts_overdue: "Alerts left open too long", "Alertas abiertas demasiado tiempo";
    sum_selftests: "Self-tests passed", "Pruebas automáticas superadas";
    sum_selftests_failed: "Self-tests failed", "Pruebas automáticas fallidas";
    sum_reviewed: "Entries opened by auditors", "Entradas abiertas por auditores";
    sum_review_failed: "Of these, not as they should be", "De ellas, no como debían";
    sum_erased: "Private parts erased so far", "Partes privadas borradas hasta ahora";
    sum_cameras: "Cameras", "Cámaras";
    sum_hours_dealt: "Hours for which keys were shared out", "Horas para las que se repartieron llaves";
    sum_hours_closed: "Hours closed", "Horas cerradas";
    sum_hours_destroyed: "Hours that nobody can open any more", "Horas que ya nadie puede abrir";
    sum_periods_dealt: "Periods for which keys were shared out", "Períodos para los que se repartieron llaves";
    sum_periods_closed: "Periods closed", "Períodos cerrados";
    sum_periods_destroyed: "Periods that nobody can open any more", "Períodos que ya nadie puede abrir";
    sum_parts_due: "Key parts that were due to be destroyed", "Partes de llave que debían destruirse";
    sum_parts_destroyed: "Of these, destroyed", "De ellas, destruidas";
    sum_parts_late: "Destroyed more than a day late", "Destruidas con más de un día de retraso";
    sum_parts_overdue: "Not yet destroyed and more than a day late", "Aún sin destruir y con más de un día de retraso";

    // ---- how it works
    how_title: "How it works, and what it cannot do", "Cómo funciona y qué no puede hacer";
    how_search: "How a search works", "Cómo se hace una búsqueda";
    how_1: "An officer writes a request: one plate, the dates, the purpose and the legal basis.",
        "Un agente escribe una solicitud: una placa, las fechas, el motivo y la base legal.";
    how_2: "Each keeper checks it by the rules of this town. For some requests a person at the keeper must say yes too.",
        "Cada guardián la revisa según las reglas de este lugar. En algunas solicitudes también debe decir que sí una persona del guardián.";
    how_3: "The keeper writes its yes or no in its public record. Only then does the answer leave its office.",
        "El guardián escribe su sí o su no en su registro público. Solo entonces sale la respuesta de su oficina.";
    how_4: "With {0} of {1} yes answers, the keepers help to open the reads of that one plate in those dates. All other reads stay locked.",
        "Con {0} de {1} respuestas de sí, los guardianes ayudan a abrir las lecturas de esa placa en esas fechas. Las demás siguen cerradas.";
    how_5: "The agency writes in its own record how many reads it opened.",
        "La agencia escribe en su propio registro cuántas lecturas abrió.";
    how_6: "After {0} the keepers destroy their keys. Then nobody can open those reads again, not even from a copy.",
        "Después de {0} los guardianes destruyen sus llaves. Entonces nadie puede volver a abrir esas lecturas, ni con una copia.";
    how_can: "What {0} of {1} keepers can do", "Qué pueden hacer {0} de {1} guardianes";
    how_can_1: "If {0} keepers work together in secret, they can open any read that is still kept. They could leave no entry here.",
        "Si {0} guardianes se ponen de acuerdo en secreto, pueden abrir cualquier lectura que aún se guarda. Podrían no dejar ninguna entrada aquí.";
    how_can_2: "A court can order them to do so.", "Un tribunal puede ordenarles que lo hagan.";
    how_can_3: "With fewer than {0} keepers, nothing can be opened by anybody.",
        "Con menos de {0} guardianes, nadie puede abrir nada.";
    how_proves: "What this register proves", "Qué prueba este registro";
    how_proves_1: "An entry that others have confirmed cannot be changed, moved or dropped without leaving proof of it.",
        "Una entrada que otros han confirmado no se puede cambiar, mover ni quitar sin dejar prueba de ello.";
    how_proves_2: "A keeper that follows the rules answers nothing that is not here.",
        "Un guardián que cumple las reglas no responde nada que no esté aquí.";
    how_proves_3: "These pages come from the records alone. Anybody can make them anew and compare.",
        "Estas páginas salen solo de los registros. Cualquiera puede volver a hacerlas y comparar.";
    how_not: "What it does not prove", "Qué no prueba";
    how_not_1: "An entry says what its party says, true or not. An auditor checks a sample of {0} in 100.",
        "Una entrada dice lo que dice su autor, sea verdad o no. Un auditor revisa una muestra de {0} de cada 100.";
    how_not_1_none: "An entry says what its party says, true or not. No auditor is named in the founding file.",
        "Una entrada dice lo que dice su autor, sea verdad o no. El acta de fundación no nombra a ningún auditor.";
    how_not_2: "The machine at the cameras sees each plate as the car passes.",
        "La máquina de las cámaras ve cada placa cuando pasa el auto.";
    how_not_3: "That a key was destroyed is what the keepers say. It cannot be proved.",
        "Que una llave fue destruida es lo que dicen los guardianes. No se puede probar.";
    how_not_4: "Who owns a hot list is told when a car on it passes.",
        "A quien lleva una lista de alerta se le avisa cuando pasa un auto de esa lista.";
    how_not_5: "Nobody can count here how often one plate was asked for.",
        "Aquí nadie puede contar cuántas veces se preguntó por una misma placa.";
    how_private: "What stays private, and for how long", "Qué queda privado, y por cuánto tiempo";
    how_private_1: "Never public: the plate, the case number, the facts, the officer's name.",
        "Nunca público: la placa, el número del caso, los hechos, el nombre del agente.";
    how_private_2: "Closed at first, then open: the dates asked for. Each entry says until when. Only a court can put that off.",
        "Primero cerrado y luego abierto: las fechas pedidas. Cada entrada dice hasta cuándo. Solo un tribunal puede aplazarlo.";
    how_private_3: "Erased after {0}: all that lies behind an entry. The entry itself stays.",
        "Se borra después de {0}: todo lo que hay detrás de una entrada. La entrada misma queda.";
    how_mine: "Was my plate searched?", "¿Buscaron mi placa?";
    how_mine_text: "The owner of a car can find out once the dates of a request are open. Ask {0} for a one-time code. Nobody learns which plate you asked about.",
        "El dueño de un auto puede saberlo cuando se abren las fechas de una solicitud. Pida a {0} un código de un solo uso. Nadie sabrá por qué placa preguntó.";
    how_check: "Check the records yourself", "Compruebe los registros usted";
    how_check_text: "The program is free. It reads a record, checks every line, and says by whom it was confirmed. Other people's programs can do the same.",
        "El programa es libre. Lee un registro, comprueba cada línea y dice quién lo confirmó. También pueden hacerlo programas de otras personas.";
    how_check_make: "This command makes these pages anew from the records:", "Esta orden vuelve a hacer estas páginas con los registros:";
    how_charter: "All of it hangs on one founding file. Its fingerprint must be the same everywhere:",
        "Todo depende de un acta de fundación. Su huella debe ser la misma en todas partes:";
    how_records: "The records", "Los registros";

    // ---- purposes
    purpose_crime: "Crime investigation", "Investigación de un delito";
    purpose_wanted: "Wanted person", "Persona buscada";
    purpose_missing: "Missing person", "Persona desaparecida";
    purpose_amber: "AMBER alert for a child", "Alerta AMBER por un menor";
    purpose_stolen_vehicle: "Stolen car", "Auto robado";
    purpose_stolen_plate: "Stolen plate", "Placa robada";
    purpose_trafficking: "Human trafficking", "Trata de personas";
    purpose_court: "Court case", "Caso en un tribunal";
    purpose_own: "Owner asks about the own car", "Pregunta de un dueño por su propio auto";
    purpose_toll: "Tolls or parking", "Peajes o estacionamiento";
    purpose_immigration: "Civil immigration enforcement", "Control civil de inmigración";
    purpose_health: "Lawful health care", "Atención médica legal";
    purpose_speech: "Protected speech", "Libertad de expresión";
    purpose_trait: "Who somebody is (protected trait)", "Quién es una persona (rasgo protegido)";

    // ---- bases
    basis_none: "None stated", "No se dijo ninguna";
    basis_suspicion: "Reasonable suspicion", "Sospecha razonable";
    basis_order: "Court order", "Orden de un tribunal";
    basis_warrant: "Search warrant", "Orden de registro";
    basis_exigency: "Danger that could not wait", "Peligro que no podía esperar";
    basis_admin_warrant: "Administrative warrant (no judge signed it)", "Orden administrativa (sin firma de un juez)";
    basis_admin_subpoena: "Administrative subpoena (no court issued it)", "Citación administrativa (sin tribunal)";
    basis_detainer: "Detainer (asks to hold a person)", "Pedido de retener a una persona";
    basis_consent: "Consent", "Consentimiento";
    basis_duty: "Duty set by law", "Deber fijado por ley";

    // ---- court papers
    paper_none: "None", "Ninguno";
    paper_attested: "Seen and vouched for by a records officer", "Visto y respaldado por una persona encargada de archivos";
    paper_court: "Signed with the court's own key", "Firmado con la llave del tribunal";
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Texts that are the same in both languages, or have nothing to say in one.
    const SAME: [&str; 3] = ["utc", "rule_english", "row_asked"];

    fn places(text: &str) -> Vec<String> {
        let mut places: Vec<String> =
            text.split('{').skip(1).map(|part| part.split('}').next().unwrap().to_owned()).collect();
        places.sort();
        places.dedup();
        places
    }

    #[test]
    fn every_text_is_there_in_both_languages_with_the_same_places() {
        check_table(TABLE, &SAME);
    }

    /// Key, English, Spanish: each there, translated, with the same places; `same` may be equal or empty.
    pub(crate) fn check_table(table: &[(&str, &str, &str)], same: &[&str]) {
        for (key, en, es) in table {
            assert_eq!(places(en), places(es), "{key}");
            assert_eq!(en == es, same.contains(key) && en == es, "{key} is not translated");
            if !same.contains(key) {
                assert!(!en.trim().is_empty() && !es.trim().is_empty(), "{key} is empty");
            }
            for text in [en, es] {
                assert_eq!(text.trim(), *text, "{key}");
                assert!(!text.contains("  ") && !text.contains(['<', '>', '&']), "{key}");
                let full = |mark: char| text.matches(mark).count();
                assert!(full('¿') <= full('?') && full('¡') <= full('!'), "{key}");
            }
        }
    }

    /// Sentences: what is read, not labels and headings.
    fn sentences(language: fn(&(&'static str, &'static str, &'static str)) -> &'static str) -> Vec<&'static str> {
        let texts = TABLE.iter().map(language).filter(|text| text.ends_with(['.', '?', ':']));
        let sentences = texts.flat_map(|text| text.split_inclusive(['.', '?', ':', ';']).map(str::trim));
        sentences.filter(|sentence| sentence.split_whitespace().count() >= 4).collect()
    }

    fn words_of(sentence: &str) -> impl Iterator<Item = String> {
        sentence
            .split(|letter: char| !letter.is_alphabetic() && letter != '\'')
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
    }

    fn groups(word: &str, vowels: &str) -> usize {
        let mut count = 0;
        let mut inside = false;
        for letter in word.chars() {
            let vowel = vowels.contains(letter);
            count += usize::from(vowel && !inside);
            inside = vowel;
        }
        count
    }

    /// The usual count: groups of vowels, without a silent final e.
    fn syllables_en(word: &str) -> usize {
        let count = groups(word, "aeiouy");
        let silent = word.ends_with('e') && !word.ends_with("le") || word.ends_with("ed") && !word.ends_with("ted");
        count.saturating_sub(usize::from(silent && count > 1)).max(1)
    }

    /// Groups of vowels, where two strong ones or an accented weak one beside another part the syllable.
    fn syllables_es(word: &str) -> usize {
        let strong = "aeoáéóíú";
        let letters: Vec<char> = word.replace("qu", "k").replace("gue", "ge").replace("gui", "gi").chars().collect();
        let parted = letters.windows(2).filter(|pair| strong.contains(pair[0]) && strong.contains(pair[1])).count();
        let accented = letters
            .windows(2)
            .filter(|pair| {
                "íú".contains(pair[0]) && "iu".contains(pair[1]) || "iu".contains(pair[0]) && "íú".contains(pair[1])
            })
            .count();
        (groups(&letters.iter().collect::<String>(), "aeiouáéíóúüy") + parted + accented).max(1)
    }

    /// Words a sentence, syllables a word.
    #[expect(clippy::cast_precision_loss, reason = "counts of a page of text")]
    fn density(sentences: &[&str], syllables: fn(&str) -> usize) -> (f64, f64) {
        let words: Vec<String> = sentences.iter().flat_map(|sentence| words_of(sentence)).collect();
        let all: usize = words.iter().map(|word| syllables(word)).sum();
        (words.len() as f64 / sentences.len() as f64, all as f64 / words.len() as f64)
    }

    #[test]
    fn a_ninth_grader_can_read_the_english_pages() {
        for (word, count) in [("plate", 1), ("register", 3), ("table", 2), ("asked", 1), ("granted", 2), ("the", 1)] {
            assert_eq!(syllables_en(word), count, "{word}");
        }
        let grade = |sentences: &[&str]| {
            let (words, syllables) = density(sentences, syllables_en);
            0.39 * words + 11.8 * syllables - 15.59
        };
        let sentences = sentences(|row| row.1);
        assert!(sentences.len() > 80);
        let all = grade(&sentences);
        assert!(all <= 9.0, "Flesch-Kincaid grade {all:.1}");
        let hard =
            "Notwithstanding evidentiary considerations, jurisdictional interoperability necessitates authorisation.";
        assert!(grade(&[hard]) > 9.0, "the measure can fail");
    }

    /// Fernández-Huerta: 60 and more is "normal" prose, as in a newspaper.
    #[test]
    fn a_newspaper_reader_can_read_the_spanish_pages() {
        for (word, count) in [("placa", 2), ("registro", 3), ("día", 2), ("guardianes", 3), ("quién", 1), ("leer", 2)]
        {
            assert_eq!(syllables_es(word), count, "{word}");
        }
        let ease = |sentences: &[&str]| {
            let (words, syllables) = density(sentences, syllables_es);
            206.84 - 60.0 * syllables - 1.02 * words
        };
        let all = ease(&sentences(|row| row.2));
        assert!(all >= 60.0, "Fernández-Huerta {all:.1}");
        let hard = "La interoperabilidad jurisdiccional, independientemente de consideraciones probatorias, imposibilita autorizaciones.";
        assert!(ease(&[hard]) < 60.0, "the measure can fail");
    }

    #[test]
    fn values_fill_their_places_once() {
        assert_eq!(fill("{1} of {0}, {1}", &["a", "{0}"]), "{0} of a, {0}");
        assert_eq!(fill("no place { here", &["a"]), "no place { here");
        assert_eq!(fill("{7}{x}", &["a"]), "");
    }

    #[test]
    fn each_language_names_the_other() {
        for lang in Lang::ALL {
            assert_eq!(lang.other().other(), lang);
            assert_ne!(lang.tag(), lang.other().tag());
        }
    }
}
