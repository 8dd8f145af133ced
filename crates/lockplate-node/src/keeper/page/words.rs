//! Every text of the keeper's own pages, in both languages, under the rules of the register's texts.

use crate::register::words::Lang;

crate::register::words::word_table! {
    site: "Requests that wait for you", "Solicitudes que le esperan";
    skip: "Skip to the content", "Ir al contenido";
    other_language: "Español", "English";
    menu: "Pages of this office", "Páginas de esta oficina";
    nav_waiting: "Waiting", "En espera";
    sign_out: "Sign out", "Cerrar la sesión";
    signed_in: "Signed in: {0}", "Sesión de {0}";
    own_office: "This page comes from the machine of your own office, not from the police.",
        "Esta página viene de la máquina de su propia oficina, no de la policía.";
    passkey_needs: "Your passkey needs a browser with scripts switched on. All else on these pages can be read without them.",
        "Su llave de acceso necesita un navegador con scripts activados. Todo lo demás de estas páginas se puede leer sin ellos.";
    key_files: "People with a key file answer at the machine of the keeper instead.",
        "Quien tiene un archivo de llave responde en la máquina del guardián.";
    js_wait: "Use your passkey now.", "Use ahora su llave de acceso.";
    js_failed: "Your passkey did not answer. Nothing was sent. You can try again.",
        "Su llave de acceso no respondió. No se envió nada. Puede intentarlo otra vez.";
    js_gone: "The office did not answer as it should. Load this page again and see how the request stands.",
        "La oficina no respondió como debía. Cargue la página otra vez y vea cómo sigue la solicitud.";

    sign_in_title: "Sign in", "Iniciar sesión";
    sign_in_text: "The requests show plates. So only the people of this office may read them.",
        "Las solicitudes muestran placas. Por eso solo las lee la gente de esta oficina.";
    sign_in_button: "Sign in with my passkey", "Entrar con mi llave de acceso";
    sign_in_short: "You are signed out after 15 minutes without a click.",
        "La sesión se cierra a los 15 minutos sin un clic.";
    sign_in_refused: "That did not work. The passkey is not one of this office, or the page was open too long. Please try again.",
        "No funcionó. La llave no es de esta oficina, o la página llevaba mucho tiempo abierta. Inténtelo otra vez.";
    sign_in_none: "Nobody here has a passkey yet. Whoever runs the machine can add one.",
        "Nadie tiene aquí una llave de acceso todavía. Quien cuida la máquina puede agregar una.";

    waiting_none: "Nothing waits for you.", "No hay nada que le espere.";
    waiting_one: "One request waits for an answer.", "Una solicitud espera respuesta.";
    waiting_many: "{0} requests wait for an answer.", "{0} solicitudes esperan respuesta.";
    waiting_order: "The oldest comes first.", "La más antigua va primero.";
    row: "{0} asks: {1}", "{0} pide: {1}";
    row_until: "Answer until {0}", "Responda antes del {0}";
    entry_number: "Entry {0}", "Entrada {0}";
    emergency: "Emergency", "Emergencia";

    card_title: "Request, entry {0}", "Solicitud, entrada {0}";
    judge_title: "What you judge", "Lo que usted decide";
    judge_court: "A court's key signed the paper, and it names this plate and time. Does it fit the case below?",
        "La llave de un tribunal firmó el documento, y nombra esta placa y este tiempo. ¿Va con el caso de abajo?";
    judge_attested: "A records officer saw the paper and vouches for it. Is it signed by a judge, for this plate and time?",
        "Una persona encargada de archivos vio el documento y responde por él. ¿Lo firmó un juez, para esta placa y este tiempo?";
    judge_unverified: "A paper came along that the machine could not verify. Is it signed by a judge, for this plate and time?",
        "Vino un documento que la máquina no pudo verificar. ¿Lo firmó un juez, para esta placa y este tiempo?";
    judge_none: "No court paper came along. Are the facts below enough for this purpose?",
        "No vino ningún documento de un tribunal. ¿Bastan los hechos de abajo para este fin?";
    judge_emergency: "The officer says that it cannot wait. A paper must follow. Do the facts below show that danger?",
        "El agente dice que no puede esperar. Después debe llegar un documento. ¿Muestran ese peligro los hechos de abajo?";
    asked_title: "What is asked", "Lo que se pide";
    who: "Who asks", "Quién pide";
    who_for: "{0}, on behalf of {1}", "{0}, en nombre de {1}";
    officer: "Officer", "Agente";
    officer_text: "{0} (a pseudonym, as in the public register)", "{0} (un seudónimo, como en el registro público)";
    plate: "Plate", "Placa";
    plate_stateless: "{0} (state not known)", "{0} (estado no conocido)";
    plate_state: "{0} ({1})", "{0} ({1})";
    spellings: "Spellings", "Formas de leerla";
    spellings_one: "only this one", "solo esta";
    spellings_many: "{0} ways in which a camera may misread it", "{0} formas en que una cámara la puede leer mal";
    days: "Days", "Días";
    days_text: "from {0} to {1}", "del {0} al {1}";
    periods: "Recorded periods", "Períodos grabados";
    purpose: "Purpose", "Fin";
    basis: "Legal ground", "Base legal";
    case_number: "Case", "Caso";
    offence: "Offence", "Delito";
    offence_text: "{0} ({1})", "{0} ({1})";
    offence_none: "none", "ninguno";
    offence_felony: "felony", "delito grave";
    offence_gross: "gross misdemeanor", "delito menor agravado";
    offence_misdemeanor: "misdemeanor", "delito menor";
    offence_infraction: "infraction", "falta";
    facts_title: "Facts, in the officer's words", "Hechos, en palabras del agente";
    not_stated: "not stated", "no se dijo";
    until: "Answer until", "Plazo para responder";

    checked_title: "What the machine has checked", "Lo que la máquina ya comprobó";
    checked_officer: "The officer's signature is good, and the agency names the officer as one of its own.",
        "La firma del agente es buena, y la agencia lo nombra como suyo.";
    checked_seconds_none: "No second person signed. The rules do not ask for one here.",
        "No firmó una segunda persona. Aquí las reglas no la piden.";
    checked_seconds_one: "A second person of the agency signed too.", "También firmó una segunda persona de la agencia.";
    checked_seconds: "{0} more people of the agency signed too.", "También firmaron {0} personas más de la agencia.";
    checked_court: "The paper is in force and was signed with the court's own key.",
        "El documento está vigente y lleva la firma del tribunal con su propia llave.";
    checked_attested: "The paper is in force. The owner's records officer saw it and vouches for it.",
        "El documento está vigente. La persona encargada de archivos lo vio y responde por él.";
    checked_attested_not: "A records officer vouches for the paper, but the town's founding rules do not count that as a judge's word.",
        "Una persona encargada de archivos responde por el documento, pero las reglas del lugar no lo cuentan como palabra de un juez.";
    checked_paper_no: "The paper could not be verified. It counts for nothing under the rules.",
        "El documento no se pudo verificar. Para las reglas no vale nada.";
    checked_no_paper: "No court paper came along.", "No vino ningún documento de un tribunal.";
    checked_declared: "The promise that the law asks of the agency is on file: {0}.",
        "Está archivada la promesa que la ley pide a la agencia: {0}.";
    checked_rules: "The rules allow the request if you say yes.", "Las reglas permiten la solicitud si usted dice que sí.";
    checked_lapsed: "What the request rested on no longer counts: the paper was taken back or is over, or the officer has left. You cannot approve it any more.",
        "Aquello en que se apoyaba la solicitud ya no vale: se retiró o terminó el documento, o el agente se fue. Ya no se puede aprobar.";
    rules_title: "Which rules", "Qué reglas";
    rules_english: "The rules are quoted in English.", "Las reglas se citan en inglés.";
    rules_silent: "The general rule for searches applies.", "Vale la regla general para búsquedas.";
    rule_cite: "Law:", "Ley:";
    not_advice: "Not legal advice.", "Esto no es asesoría legal.";
    files_title: "Files that came along", "Archivos que vinieron";
    files_text: "Compare these fingerprints with those of the papers in your hands.",
        "Compare estas huellas con las de los documentos que tiene en la mano.";
    files_paper: "The paper on which the request rests", "El documento en que se apoya la solicitud";
    files_other: "Another file", "Otro archivo";

    answer_title: "Your answer", "Su respuesta";
    answer_binds: "Your passkey signs this request and this answer, and nothing else. The answer is final.",
        "Su llave de acceso firma esta solicitud y esta respuesta, y nada más. La respuesta es definitiva.";
    answer_yes: "Yes, I approve", "Sí, la apruebo";
    answer_no: "No, I refuse:", "No, la rechazo:";
    answer_button: "Sign with my passkey", "Firmar con mi llave de acceso";
    done_title: "Your answer is in the record", "Su respuesta quedó registrada";
    done_yes: "You approved the request.", "Usted aprobó la solicitud.";
    done_no: "You refused the request: {0}.", "Usted rechazó la solicitud: {0}.";
    done_receipt: "It is entry {0} of this keeper's public record. The request itself is entry {1}. Nobody can change them any more.",
        "Es la entrada {0} del registro público de este guardián. La solicitud misma es la entrada {1}. Ya nadie las puede cambiar.";
    done_number: "Number of the request", "Número de la solicitud";
    done_next: "Back to what waits", "Volver a lo que espera";

    trouble_title: "That did not work", "No funcionó";
    trouble_gone: "This request does not wait for you any more. It was answered, or its time is over.",
        "Esta solicitud ya no le espera. Fue respondida, o se acabó su plazo.";
    trouble_form: "The page did not send what it should. Nothing was decided.",
        "La página no envió lo que debía. No se decidió nada.";
    trouble_signature: "The answer was not signed as it must be. Nothing was decided.",
        "La respuesta no se firmó como se debe. No se decidió nada.";
    trouble_unavailable: "The answer could not be confirmed in time. Look at the list again in a minute, and see if the request still waits.",
        "La respuesta no se pudo confirmar a tiempo. Mire la lista otra vez en un minuto y vea si la solicitud aún espera.";

    enrol_site: "Office of a keeper", "Oficina de un guardián";
    enrol_title: "Make your passkey", "Cree su llave de acceso";
    enrol_who: "For {0}", "Para {0}";
    enrol_text: "With it you sign your answers at this office. Your device asks for your finger, face or code, twice. The secret stays in the device.",
        "Con ella firma sus respuestas en esta oficina. Su aparato pide su dedo, su cara o su código, dos veces. El secreto se queda en el aparato.";
    enrol_text_court: "With it you sign papers, such as a warrant. Your device asks for your finger, face or code, twice. The secret stays in the device.",
        "Con ella firma documentos, como una orden judicial. Su aparato pide su dedo, su cara o su código, dos veces. El secreto se queda en el aparato.";
    enrol_two: "Make a second one on another device, and keep that device in another place.",
        "Cree otra en un segundo aparato, y guarde ese aparato en otro lugar.";
    enrol_button: "Make my passkey", "Crear mi llave de acceso";
    enrol_done_title: "Done", "Listo";
    enrol_done: "The passkey works. You may close this page. Whoever runs the machine now has its public half in a file.",
        "La llave funciona. Puede cerrar esta página. Quien cuida la máquina tiene ahora su mitad pública en un archivo.";

    court_site: "Signing of papers", "Firma de documentos";
    paper_title: "Sign this paper", "Firme este documento";
    paper_order: "What you order", "Lo que usted ordena";
    paper_fingerprint: "Fingerprint of the paper", "Huella del documento";
    paper_digits: "The same in digits: {0}", "La misma en cifras: {0}";
    paper_limit: "Your device does not show what it signs. Only this page does. So write these eight words on the paper order too. Whoever holds the paper can then check which file belongs to it.",
        "Su aparato no muestra lo que firma. Solo lo muestra esta página. Por eso escriba estas ocho palabras también en la orden de papel. Quien la tenga puede comprobar así qué archivo le corresponde.";
    paper_terminal: "The program that opened this page printed the same words. If they differ, do not sign.",
        "El programa que abrió esta página mostró las mismas palabras. Si no son iguales, no firme.";
    paper_refused: "That was not signed as it must be. No paper was written. You can try again.",
        "Eso no se firmó como se debe. No se escribió ningún documento. Puede intentarlo otra vez.";
    yes: "yes", "sí";
    no: "no", "no";
    order_kind: "Kind", "Clase";
    order_attestation: "What you saw: a court's paper that the court confirmed", "Lo que usted vio: un documento que el tribunal confirmó";
    order_called: "Who confirmed it", "Quién lo confirmó";
    order_called_text: "{0}, {1}", "{0}, {1}";
    order_delay: "Nobody is told yet of one request", "Todavía no se avisa a nadie de una solicitud";
    order_delay_until: "Nobody is told before", "No se avisa a nadie antes del";
    order_ownership: "Proof that a vehicle is somebody's own", "Prueba de que un vehículo es de alguien";
    order_revocation: "Something no longer counts", "Algo deja de valer";
    order_court: "Court", "Tribunal";
    order_docket: "Docket number", "Número de expediente";
    order_requester: "Agency that may ask", "Agencia que puede pedir";
    order_any_officer: "any officer of that agency", "cualquier agente de esa agencia";
    order_archive: "Agency whose records are asked for", "Agencia dueña de los registros";
    order_force: "In force", "Vigente";
    order_uses: "Requests, at most", "Solicitudes, como máximo";
    order_file: "Fingerprint of the paper's file", "Huella del archivo del documento";
    order_supersedes: "Takes the place of the paper", "Sustituye al documento";
    order_person: "Person", "Persona";
    order_registered: "Registered owner, and showed it", "Es dueño registrado y lo mostró";
    order_consents: "All other owners agree", "Los demás dueños están de acuerdo";
    order_until: "Good until", "Vale hasta el";
    order_revoked: "What no longer counts", "Lo que deja de valer";
    order_reason: "Reason", "Motivo";
    order_from: "From", "Desde el";
    order_ids: "Agencies and files are named by signs that no two of them share. An agency's sign stands on its card.",
        "Las agencias y los archivos se nombran con signos que no se repiten. El signo de una agencia está en su tarjeta.";
    paper_done_title: "Signed", "Firmado";
    paper_done: "Your passkey signed the paper with this fingerprint. You may close this page.",
        "Su llave de acceso firmó el documento con esta huella. Puede cerrar esta página.";
}

impl Words {
    /// The texts of a language.
    pub(in crate::keeper) const fn of(lang: Lang) -> &'static Self {
        match lang {
            Lang::En => &EN,
            Lang::Es => &ES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TABLE;
    use crate::register::words::tests::check_table;

    #[test]
    fn every_text_is_there_in_both_languages_with_the_same_places() {
        check_table(TABLE, &["plate_state", "offence_text", "order_called_text", "no"]);
        assert!(TABLE.len() > 90);
    }
}
